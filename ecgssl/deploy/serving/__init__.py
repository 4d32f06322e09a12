"""A bundle behind HTTP: recordings in, scores out, nothing kept; the page shows what the model saw."""

"""Linear probes on embeddings of a frozen encoder, and their solvers."""

"""Linear probes on frozen embeddings, and their solvers."""

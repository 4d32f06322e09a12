"""Preprocessed recordings on disk: made by ``preprocess``, read by ``Store``."""

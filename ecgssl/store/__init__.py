"""Preprocessed recordings on disk: file layout and reader."""

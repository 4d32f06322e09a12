"""Scoring of recordings with a bundle: files, tables and arrays."""

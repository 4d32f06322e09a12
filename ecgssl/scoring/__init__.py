"""Scoring of recordings in files, tables and arrays with the model of a bundle."""

"""Readers for file formats of ECG device vendors and hospital systems."""

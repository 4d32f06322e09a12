"""WFDB files."""

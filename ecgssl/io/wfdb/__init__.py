"""Reader and writer for WFDB records."""

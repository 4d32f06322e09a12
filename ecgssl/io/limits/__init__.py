"""Limits for untrusted files."""

"""Metrics per kind of target."""

"""Metrics and statistical inference."""

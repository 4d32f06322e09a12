"""Metrics, bootstrap intervals and statistical tests."""

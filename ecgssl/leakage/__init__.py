"""Leakage checks: recordings and patients shared between splits or with the pretraining data."""

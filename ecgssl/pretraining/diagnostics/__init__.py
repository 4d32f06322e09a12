"""Diagnostics of pretraining: online probe, representation collapse, FDA metrics and reconstruction gallery."""

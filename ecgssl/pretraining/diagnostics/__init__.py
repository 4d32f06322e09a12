"""Diagnostics of pretraining: online probe, geometry, FDA figures, reconstruction gallery."""

"""Probes on frozen embeddings, metrics with intervals, calibration, prediction files and figures."""

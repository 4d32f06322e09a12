"""Calibration, thresholds and decisions."""

"""Calibration and decision thresholds of a classifier."""

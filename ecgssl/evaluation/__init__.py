"""Evaluation of predictions: metrics with intervals, calibration, thresholds, subgroups and leaderboards."""

"""Drift monitoring of a deployed model: comparison of new recordings with reference statistics."""

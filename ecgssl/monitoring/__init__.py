"""Drift monitoring of a deployed model."""

"""Experiment tracking with MLflow and provenance of results."""

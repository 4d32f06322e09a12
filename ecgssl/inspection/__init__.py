"""Inspection of recordings, cohorts and stores before a model is trained."""

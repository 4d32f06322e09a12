"""Inspection of recordings, cohorts and stores before training."""

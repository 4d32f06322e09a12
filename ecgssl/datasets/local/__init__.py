"""Cohorts of one's own: a table of recordings, read as its hospital wrote it."""

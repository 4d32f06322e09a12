"""Preprocessing: from a cohort of recordings to a store."""

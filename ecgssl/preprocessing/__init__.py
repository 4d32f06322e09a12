"""Preprocessing of a cohort into a store."""

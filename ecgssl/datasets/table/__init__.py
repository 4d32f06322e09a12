"""Local cohorts: a table that lists recordings."""

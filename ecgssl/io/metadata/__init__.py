"""Metadata of recordings: units, overrides, person."""

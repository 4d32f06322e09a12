"""Vendor formats of hospital systems."""

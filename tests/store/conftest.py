"""Fixtures of the store tests."""

from __future__ import annotations

from store_fixtures import cohort, made, manifest  # noqa: F401

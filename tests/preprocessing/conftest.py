"""Fixtures of the preprocessing tests."""

from __future__ import annotations

from store_fixtures import cohort, made, manifest  # noqa: F401

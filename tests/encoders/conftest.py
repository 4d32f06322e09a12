"""Fixtures of the tests of shipped models."""

from __future__ import annotations

from shipped_fixtures import shipped, stand_in  # noqa: F401
from training_fixtures import make_params, store  # noqa: F401

"""Fixtures of the fine-tuning tests."""

from __future__ import annotations

from training_fixtures import make_params, store  # noqa: F401

"""Fixtures of the registry tests."""

from __future__ import annotations

from bundle_fixtures import encoder_bundle, exported  # noqa: F401

"""Fixtures of the monitoring tests."""

from __future__ import annotations

from bundle_fixtures import encoder_bundle, exported  # noqa: F401

"""The ``ecgssl`` command: thin, every verb a function of the library. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from ecgssl.cli import download, models, profiles, recordings, scoring  # noqa: F401 (importing them adds their verbs)
from ecgssl.cli.app import app, main

__all__ = ["app", "main"]

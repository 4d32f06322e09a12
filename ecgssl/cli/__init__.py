"""The ``ecgssl`` command: thin, every verb a function of the library. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from ecgssl.cli import cohorts, download, export, inspection, models, overlap, profiles, recordings, report, scoring  # noqa: F401 (importing adds verbs)
from ecgssl.cli.app import app, main

__all__ = ["app", "main"]

"""The ``ecgssl`` command: thin, every verb a function of the library. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from ecgssl.cli import (  # noqa: F401 (importing adds verbs)
    cohorts,
    download,
    evaluation,
    export,
    inspection,
    models,
    monitoring,
    overlap,
    profiles,
    recordings,
    report,
    scoring,
    serving,
)
from ecgssl.cli.app import app, main

__all__ = ["app", "main"]

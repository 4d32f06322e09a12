"""Command line interface of ``ecgssl``, with one module per command."""

from __future__ import annotations

from ecgssl.cli import (  # noqa: F401 (the import registers the command)
    check,
    doctor,
    download,
    draw,
    embed,
    encoders,
    evaluate,
    export,
    finetune,
    fingerprint,
    inspect,
    leaderboard,
    monitor,
    overlap,
    predict,
    preprocess,
    pretrain,
    profile,
    recalibrate,
    report,
    results,
    serve,
    sign,
    simulate,
)
from ecgssl.cli.app import app, main

__all__ = ["app", "main"]

"""Command ``ecgssl results``, which prints the results of the DVC pipeline."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem


@app.command()
def results() -> None:
    """Print the leaderboard of the last ``make repro``, and the paths of figures, metrics and bundles."""
    board = Path("metrics/leaderboard.md")
    if not board.exists():
        raise InputError(Problem(str(board), "file", "does not exist", "Run 'make repro' first"))
    from ecgssl.config import load_params

    typer.echo()
    for name in load_params().sets:
        counts = json.loads((Path("metrics/preprocess") / f"{name}.json").read_text())
        typer.echo(
            f"{name}: {counts['recordings']} recordings = {counts['stored']} stored + {counts['rejected']} rejected"
        )
    typer.echo(f"\n{board.read_text()}")
    typer.echo("Figures    plots/evaluate  plots/pretrain   (dvc plots show)")
    typer.echo("Metrics    metrics/                         (dvc metrics show)")
    typer.echo("Bundles    exports/encoder  exports/classifier")
    typer.echo(f"Runs       {os.environ.get('MLFLOW_TRACKING_URI', 'make ui, then http://127.0.0.1:5000')}")

"""Verbs that use a bundle: predict, embed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Workers, app


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Recordings in any format, folders or a manifest.")],
    bundle: Annotated[Path, typer.Option(help="Bundle of a classifier.")],
    out: Annotated[Path, typer.Option(help="Score file, .csv or .parquet.")],
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Workers = 1,
) -> int:
    """Score recordings, one row per input.

    Example: ecgssl predict --bundle exports/classifier rec1.hea folder --out scores.csv
    """
    from ecgssl.deploy.predict import predict as run

    report = run(bundle, inputs, out, batch_size=batch_size, workers=workers)
    typer.echo(f"{report.counted} inputs = {report.scored} scored + {report.rejected} rejected -> {out}")
    _tell_unknown(report.unknown)
    return 3 if report.rejected else 0


@app.command()
def embed(
    inputs: Annotated[list[Path], typer.Argument(help="Recordings in any format, folders or a manifest.")],
    bundle: Annotated[Path, typer.Option(help="Bundle of an encoder or classifier.")],
    out: Annotated[Path, typer.Option(help="Embedding file, .csv or .parquet.")],
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Workers = 1,
) -> int:
    """Embed recordings, one row per input.

    Example: ecgssl embed --bundle exports/encoder folder --out embeddings.parquet
    """
    from ecgssl.deploy.predict import embed as run

    report = run(bundle, inputs, out, batch_size=batch_size, workers=workers)
    typer.echo(f"{report.counted} inputs = {report.scored} embedded + {report.rejected} rejected -> {out}")
    _tell_unknown(report.unknown)
    return 3 if report.rejected else 0


def _tell_unknown(count: int) -> None:
    if count:
        typer.echo(f"note: {count} files in the folders are in no known format")

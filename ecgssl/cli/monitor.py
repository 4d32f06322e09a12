"""Command ``ecgssl monitor``, which detects drift in a batch of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.cli.signature_option import RequireSignature


@app.command()
def monitor(
    scores: Annotated[list[Path], typer.Argument(help="Files of predict (or embed); all files form one batch.")],
    bundle: Annotated[
        str, typer.Option(help="Bundle that made these files, exported with --store, or the name of a shipped one.")
    ],
    out: Annotated[Path, typer.Option(help="HTML page to write; the same content is written as .json.")],
    embeddings: Annotated[
        list[Path] | None, typer.Option(help="File of embed with the same bundle, to compare the embeddings.")
    ] = None,
    require_signature: RequireSignature = None,
) -> None:
    """Compare a batch of scores with the scores of the validation recordings, to detect drift.

    Example: ecgssl monitor --bundle exports/classifier scores.csv --embeddings embeddings.parquet --out drift.html
    """
    from ecgssl.monitoring.monitor import monitor as run

    summary = run(bundle, scores, out, embeddings or [], require_signature=require_signature)
    typer.echo(f"{summary['verdict']}: {summary['comparisons']} comparisons -> {out}")
    everything = [one for shape in ("shares", "categories", "numbers") for one in summary[shape]]
    embedding = summary["embedding"]
    if embedding and embedding["level"] != "steady":
        typer.echo(f"{embedding['level']}: embeddings, distance {embedding['distance']:.3g}")
    for one in sorted(everything, key=lambda one: -one["size"]):
        if one["level"] != "steady":
            typer.echo(f"{one['level']}: {one['name']}, size {one['size']:.2f}, p {one['p']:.2g}")

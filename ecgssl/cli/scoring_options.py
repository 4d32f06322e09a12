"""Command line options and output shared by ``ecgssl predict`` and ``ecgssl embed``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ecgssl.scoring.files import PredictReport

Inputs = Annotated[list[Path], typer.Argument(help="Recordings in any format, folders, quoted patterns or a manifest.")]
Out = Annotated[Path, typer.Option(help="Table to write: .csv, .jsonl or .parquet.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing table that has other recordings or another model.")
]
Windows = Annotated[
    Literal["contract", "mean", "max"],
    typer.Option(help="Long recordings: score the window used in training, or the mean or maximum over all windows."),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Number of recordings that a process reads, or a GPU scores, at a time.")
]
OnDevice = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Root = Annotated[
    Path | None, typer.Option(help="Folder that paths of a table are relative to; by default the folder of the table.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


_SHOWN = 10
"""Maximum number of files of unknown format that are listed."""


def print_report(report: PredictReport, done: str, out: Path, as_json: bool) -> int:
    """Print the counts of ``predict`` or ``embed``, and return the exit code.

    Args:
        report: counts of the inputs.
        done: verb for the message, ``scored`` or ``embedded``.
        out: path of the table that was written.
        as_json: print JSON instead of text.

    Returns:
        3 if an input was rejected, otherwise 0.
    """
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=1))
    else:
        typer.echo(f"{report.counted} inputs = {report.scored} {done} + {report.rejected} rejected -> {out}")
        if report.resumed:
            typer.echo(f"note: {report.resumed} inputs were already {done} by an interrupted run")
        if report.unknown:
            names = ", ".join(report.unknown_files[:_SHOWN])
            more = f" and {report.unknown - _SHOWN} more" if report.unknown > _SHOWN else ""
            typer.echo(f"note: {report.unknown} files in the folders have an unknown format and no row: {names}{more}")
    return 3 if report.rejected else 0

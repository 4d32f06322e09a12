"""Commands that score recordings with a bundle: predict, embed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecgssl.cli.app import Workers, app

if TYPE_CHECKING:
    from ecgssl.scoring.files import PredictReport

Inputs = Annotated[list[Path], typer.Argument(help="Recordings in any format, folders, quoted patterns or a manifest.")]
Out = Annotated[Path, typer.Option(help="Table to write: .csv, .jsonl or .parquet.")]
Windows = Annotated[
    Literal["contract", "mean", "max"],
    typer.Option(help="Long recordings: score the window used in training, or the mean or maximum over all windows."),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Number of recordings that a process reads, or a GPU scores, at a time.")
]
OnDevice = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def predict(
    inputs: Inputs,
    bundle: Annotated[Path, typer.Option(help="Bundle of a classifier.")],
    out: Out,
    windows: Windows = "contract",
    batch_size: BatchSize = 32,
    workers: Workers = 1,
    device: OnDevice = "auto",
    as_json: Json = False,
) -> int:
    """Score recordings, one row per input. The same command resumes an interrupted run.

    Example: ecgssl predict --bundle exports/classifier rec1.hea folder --out scores.csv
    """
    from ecgssl.scoring.files import predict as run

    report = run(bundle, inputs, out, windows=windows, batch_size=batch_size, workers=workers, device=device)
    return _print_report(report, "scored", out, as_json)


@app.command()
def embed(
    inputs: Inputs,
    bundle: Annotated[Path, typer.Option(help="Bundle of an encoder or classifier.")],
    out: Out,
    windows: Windows = "contract",
    batch_size: BatchSize = 32,
    workers: Workers = 1,
    device: OnDevice = "auto",
    as_json: Json = False,
) -> int:
    """Embed recordings, one row per input. The same command resumes an interrupted run.

    Example: ecgssl embed --bundle exports/encoder folder --out embeddings.parquet
    """
    from ecgssl.scoring.files import embed as run

    report = run(bundle, inputs, out, windows=windows, batch_size=batch_size, workers=workers, device=device)
    return _print_report(report, "embedded", out, as_json)


def _print_report(report: PredictReport, done: str, out: Path, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=1))
    else:
        typer.echo(f"{report.counted} inputs = {report.scored} {done} + {report.rejected} rejected -> {out}")
        if report.resumed:
            typer.echo(f"note: {report.resumed} were {done} by an earlier run that was interrupted")
        if report.unknown:
            typer.echo(f"note: {report.unknown} files in the folders are in no known format")
    return 3 if report.rejected else 0

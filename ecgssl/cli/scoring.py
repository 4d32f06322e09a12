"""Verbs that use a bundle on files: predict, embed."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgssl.cli.app import Workers, app

if TYPE_CHECKING:
    from ecgssl.scoring.files import PredictReport


class WindowPolicy(StrEnum):
    """What is scored of recordings of two durations or more."""

    contract = "contract"
    mean = "mean"
    max = "max"


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Inputs = Annotated[list[Path], typer.Argument(help="Recordings in any format, folders, quoted patterns or a manifest.")]
Out = Annotated[Path, typer.Option(help="Table to write: .csv, .jsonl or .parquet.")]
Windows = Annotated[
    WindowPolicy,
    typer.Option(help="Of long recordings: the contract's one window, or every window's mean or maximum."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Recordings that a process reads, or a GPU is given, at a time.")]
OnDevice = Annotated[Device, typer.Option(help="Where the model runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def predict(
    inputs: Inputs,
    bundle: Annotated[Path, typer.Option(help="Bundle of a classifier.")],
    out: Out,
    windows: Windows = WindowPolicy.contract,
    batch_size: BatchSize = 32,
    workers: Workers = 1,
    device: OnDevice = Device.auto,
    as_json: Json = False,
) -> int:
    """Score recordings, one row per input; a stopped run goes on by the same command.

    Example: ecgssl predict --bundle exports/classifier rec1.hea folder --out scores.csv
    """
    from ecgssl.scoring.files import predict as run

    report = run(
        bundle,
        inputs,
        out,
        windows=windows.value,
        batch_size=batch_size,
        workers=workers,
        device=device.value,
    )
    return _tell(report, "scored", out, as_json)


@app.command()
def embed(
    inputs: Inputs,
    bundle: Annotated[Path, typer.Option(help="Bundle of an encoder or classifier.")],
    out: Out,
    windows: Windows = WindowPolicy.contract,
    batch_size: BatchSize = 32,
    workers: Workers = 1,
    device: OnDevice = Device.auto,
    as_json: Json = False,
) -> int:
    """Embed recordings, one row per input; a stopped run goes on by the same command.

    Example: ecgssl embed --bundle exports/encoder folder --out embeddings.parquet
    """
    from ecgssl.scoring.files import embed as run

    report = run(
        bundle,
        inputs,
        out,
        windows=windows.value,
        batch_size=batch_size,
        workers=workers,
        device=device.value,
    )
    return _tell(report, "embedded", out, as_json)


def _tell(report: PredictReport, done: str, out: Path, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=1))
    else:
        typer.echo(f"{report.counted} inputs = {report.scored} {done} + {report.rejected} rejected -> {out}")
        if report.resumed:
            typer.echo(f"note: {report.resumed} were done by an earlier run that was stopped")
        if report.unknown:
            typer.echo(f"note: {report.unknown} files in the folders are in no known format")
    return 3 if report.rejected else 0

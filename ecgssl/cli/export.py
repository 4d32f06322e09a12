"""Verb that makes a bundle: export."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Encoder or classifier folder.")],
    out: Annotated[Path, typer.Option(help="New bundle.")],
    store: Annotated[
        Path | None,
        typer.Option(help="Store whose validation recordings graphs are tried on and batches compared with."),
    ] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Recordings, folders or manifests that raw graphs are tried on.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Make a bundle: weights, ONNX graphs and program, checked against the file pipeline.

    Example: ecgssl export --model runs/af/classifier --out exports/af --set export.raw_rates=[500]
    """
    from ecgssl.config import load_params
    from ecgssl.export.bundle import export_bundle
    from ecgssl.export.validation_recordings import (
        ValidationRecordings,
        read_raw_recordings,
        read_validation_recordings,
    )
    from ecgssl.monitoring.reference import write_reference
    from ecgssl.store.store import Store

    p = load_params(params, overrides)
    raw = read_raw_recordings(recordings or [])
    validation, add = ValidationRecordings(raw=raw), None
    if store is not None:
        data = Store(store)
        validation = read_validation_recordings(data, model, measure=p.export.int8, raw=raw)
        add = partial(write_reference, store=data)
    figures = export_bundle(model, out, p.export, validation=validation, quality=p.quality, lsb=p.store.lsb, add=add)
    typer.echo(json.dumps(figures, indent=1, default=str))

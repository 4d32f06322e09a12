"""Command ``ecgssl export``, which writes a bundle of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app, require_training


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Encoder or classifier folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    store: Annotated[
        Path | None,
        typer.Option(help="Store: its validation recordings check the graphs and are the reference of monitor."),
    ] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Recordings, folders or manifests to check raw graphs.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Export a model as a bundle of weights, ONNX graphs and a torch.export program.

    Example: ecgssl export --model runs/af/classifier --out exports/af --set export.raw_rates=[500]
    """
    from ecgssl.config import load_params
    from ecgssl.output_lock import exclusive

    p = load_params(params, overrides)
    require_training("ecgssl export", p)
    from ecgssl.stages.export import export_model
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store
    from ecgssl.tracking.runs import track

    data = None if store is None else Store(store)
    if data is not None:
        require_store_settings(overrides, p, data)
    with exclusive(out) as lock, track("export", p, lock=lock) as run:
        figures = export_model(p, model, out, run, store=data, recordings=recordings or [])
    typer.echo(json.dumps(figures, indent=1, default=str))

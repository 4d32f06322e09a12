"""Verb that makes a bundle: export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import ParamsFile, app


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Encoder or classifier folder.")],
    out: Annotated[Path, typer.Option(help="New bundle.")],
    store: Annotated[Path | None, typer.Option(help="Store whose recordings the graph is checked on, too.")] = None,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Make a bundle with ONNX graph, checked against torch.

    Example: ecgssl export --model runs/af/classifier --out exports/af
    """
    from ecgssl.config import load_params
    from ecgssl.deploy.bundle import export_bundle
    from ecgssl.store.store import Store

    p = load_params(params)
    examples = None
    if store is not None:
        data = Store(store)
        examples = data.signals(data.rows("val")[:7])
    figures = export_bundle(model, out, p.export, examples=examples, quality=p.quality, lsb=p.store.lsb)
    typer.echo(json.dumps(figures, indent=1, default=str))

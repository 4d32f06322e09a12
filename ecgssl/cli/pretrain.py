"""Command ``ecgssl pretrain``, which pretrains an encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app, require_training


@app.command()
def pretrain(
    store: Annotated[Path, typer.Option(help="Store made by preprocess.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder, metrics and plots.")],
    max_time: Annotated[
        float | None, typer.Option(help="Minutes after which the run saves its state and stops.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain an encoder with CoRe-ECG. Run the command again to resume it; use torchrun for several processes.

    Example: ecgssl pretrain --store data/mine --out runs/a --max-time 120
    """
    from ecgssl.config import load_params

    limit = [] if max_time is None else [f"pretrain.max_time={max_time}"]
    p = load_params(params, [*(overrides or []), *limit])
    require_training("ecgssl pretrain", p)
    from ecgssl.stages.pretrain import pretrain_encoder
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store

    data = Store(store)
    require_store_settings(overrides, p, data)
    pretrained = pretrain_encoder(
        p,
        data,
        state=out,
        model=out / "pretrained",
        metrics=out / "pretrain.json",
        plots=out / "plots",
    )
    if pretrained is None:
        return
    result = pretrained.result
    typer.echo(
        f"{result.seen} recordings in {result.seconds:.0f} s ({result.device}, {result.precision}, "
        f"processes: {result.processes}, waiting for data: {result.waited:.1%}, diagnostics: {result.monitored:.1%})"
    )
    typer.echo(json.dumps({name: round(value, 4) for name, value in pretrained.metrics.items()}, indent=1))

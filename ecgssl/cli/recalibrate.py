"""Command ``ecgssl recalibrate``, which fits calibrators for a new site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app
from ecgssl.cli.evaluate import NewThresholds, Overlap, Share, print_external


@app.command()
def recalibrate(
    run: Annotated[Path, typer.Option(help="Run of another site.")],
    store: Annotated[Path, typer.Option(help="Store of the new site, with the preprocessing settings of the run.")],
    out: Annotated[Path, typer.Option(help="New run: the same model with calibrators of the new site.")],
    share: Share = 0.5,
    new_thresholds: NewThresholds = False,
    overlap: Overlap = "error",
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Fit new calibrators on some patients of a new site, and evaluate them on the other patients of this site.

    Example: ecgssl recalibrate --run runs/af --store data/newsite --out runs/af-newsite
    """
    from ecgssl.config import BUILT_IN, load_params
    from ecgssl.finetuning.evaluate_external import recalibrate_run
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store

    p = load_params(params, overrides, BUILT_IN)
    require_store_settings(overrides, p, Store(store))
    print_external(
        recalibrate_run(run, p, store, out, share=share, new_thresholds=new_thresholds, overlap=overlap), out
    )

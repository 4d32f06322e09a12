"""Command ``ecgssl pretrain``, which pretrains an encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app, require_training, tracked_if_installed


@app.command()
def pretrain(
    store: Annotated[list[Path], typer.Option(help="Store made by preprocess. Repeat the option for several stores.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder, metrics and plots.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Name of each store, in the same order; by default the name of its folder.")
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(help="Store of a downstream task: leave out what is in its validation and test splits."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="Share of a store in the batches, for example NAME=0.7, once for each store (pretrain.sampling)."
        ),
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(help="Minutes after which the run saves its state and stops.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain an encoder with CoRe-ECG. Run the command again to resume it; use torchrun for several processes.

    Recordings with the waveform of an earlier recording are left out, as are those of --held-out (pretrain.overlap).

    Example: ecgssl pretrain --store data/mine --store data/other --out runs/a --max-time 120
    """
    from ecgssl.config import BUILT_IN, load_params

    limit = [] if max_time is None else [f"pretrain.max_time={max_time}"]
    p = load_params(params, [*(overrides or []), *limit], BUILT_IN)
    require_training("ecgssl pretrain")
    p = tracked_if_installed(p, overrides)
    from ecgssl.leakage.select_recordings import select_recordings
    from ecgssl.stages.pretrain import pretrain_encoder
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store

    names = store_names(store, name)
    if weight:
        sampling = store_weights(weight, names)
        p = p.model_copy(update={"pretrain": p.pretrain.model_copy(update={"sampling": sampling})})
    stores = {label: Store(path) for label, path in zip(names, store, strict=True)}
    for data in stores.values():
        require_store_settings(overrides, p, data)
    downstream = {f"held-out {path}": Store(path) for path in held_out or ()}
    selection = select_recordings(
        stores | downstream, names, {label: label for label in downstream}, p.pretrain.overlap
    )
    if any(len(chosen.rows) for chosen in selection.sets.values()):
        for label, counts in selection.counts(stores).items():
            typer.echo(
                f"{label}: {counts['stored']:,} stored, {counts['duplicates']:,} duplicates, "
                f"{counts['left_out']:,} in held-out sets, {counts['train']:,} used for training"
            )
    pretrained = pretrain_encoder(
        p,
        stores,
        selection=selection,
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
    typer.echo(json.dumps({key: round(value, 4) for key, value in pretrained.metrics.items()}, indent=1))


def store_names(stores: list[Path], names: list[str] | None) -> list[str]:
    """Return the name of each store: as given, or the name of its folder.

    Raises:
        InputError: the numbers of stores and names differ, or two stores have one name.
    """
    from ecgssl.errors import InputError, Problem

    if names and len(names) != len(stores):
        what = f"{len(names)} names for {len(stores)} stores"
        raise InputError(Problem("command line", "--name", what, "Give --name once for each --store"))
    found = list(names or (path.resolve().name for path in stores))
    twice = sorted({label for label in found if found.count(label) > 1})
    if twice:
        what = f"{len(stores)} stores include several with the name {', '.join(twice)}"
        raise InputError(Problem("command line", "--store", what, "Give each store once, with a different --name"))
    return found


def store_weights(given: list[str], names: list[str]) -> dict[str, float]:
    """Return the weight of each store from entries ``NAME=NUMBER``.

    Raises:
        InputError: an entry has another form, names no store or a store twice, a weight is not above 0, or a store has none.
            All of them are listed.
    """
    from ecgssl.errors import InputError, Problem

    weights: dict[str, float] = {}
    problems = []
    for entry in given:
        name, _, number = entry.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = 0.0
        if name not in names or name in weights or not 0 < value < float("inf"):
            remedy = f"Use NAME=NUMBER once for each of {', '.join(names)}, with numbers above 0"
            problems.append(Problem("command line", "--weight", f"{entry!r} is not a weight of a store", remedy))
        weights[name] = value
    if absent := [name for name in names if name not in weights]:
        remedy = "Give --weight once for each --store"
        problems.append(Problem("command line", "--weight", f"has no entry for {', '.join(absent)}", remedy))
    if problems:
        raise InputError(problems)
    return weights

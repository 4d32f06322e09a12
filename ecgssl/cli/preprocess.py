"""Command ``ecgssl preprocess``, which writes a store of preprocessed recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Dataset, Overrides, ParamsFile, app, tracked_if_installed
from ecgssl.cli.manifest_options import (
    Columns,
    Dates,
    PathPrefix,
    Root,
    TargetsFile,
    Values,
    cohort_overrides,
    print_findings,
    unused_table_options,
)
from ecgssl.errors import InputError, Problem


@app.command()
def preprocess(
    out: Annotated[Path, typer.Option(help="New folder of the store.")],
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    dataset: Dataset = None,
    manifest: Annotated[Path | None, typer.Option(help="Table of a cohort; reader and manifest of the set.")] = None,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    public: Annotated[
        str | None, typer.Option(help="Public set; reader of the set, whose root is --root (docs/data.md).")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Label set of the public set; labels of the set.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; -1 for one per core.")] = None,
    backend: Annotated[str | None, typer.Option(help="loky, dask or ray; sets store.backend.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask or Ray cluster; sets store.scheduler.")
    ] = None,
    max_rejected_fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="Stop if a larger fraction of the recordings is rejected.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="PNG, PDF or SVG of the worst recordings of each reason code, by row number only."),
    ] = None,
) -> int:
    """Read, check, filter and store the recordings of a dataset.

    Example: ecgssl preprocess --manifest cohort.csv --out data/mine --figure findings.png
    """
    from ecgssl.config import BUILT_IN, load_one_set
    from ecgssl.stages.preprocess import preprocess_set

    chosen, given = list(overrides or []), []
    problems = []
    if (manifest is None) == (public is None) and (root is not None or labels is not None or manifest is not None):
        what = "--root and --labels need either a table or a public set"
        problems.append(Problem("preprocess", "--manifest, --public", what, "Use either --manifest or --public"))
    elif manifest is not None and labels is not None:
        what = "chooses the labels of a public set, and a table has none"
        problems.append(Problem("preprocess", "--labels", what, "Remove --labels"))
    elif manifest is None and public is None and params == Path("params.yaml") and not params.exists():
        what = "neither is given, and there is no params.yaml with sets"
        problems.append(Problem("preprocess", "--manifest, --public", what, "Set --manifest, or --public and --root"))
    # --root also describes a public set, and --dataset a set of the parameter file
    table_options = [column, value, path_prefix, dates, targets_file]
    problems += unused_table_options("preprocess", manifest, table_options)
    if problems:
        raise InputError(problems)
    if manifest is not None:
        given = cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
    if public is not None:
        given = [f"labels={json.dumps(labels)}"]
        given += [f"root={json.dumps(str(root))}"] if root is not None else []
    if workers is not None:
        chosen += [f"store.workers={workers}"]
    if backend is not None:
        chosen += [f"store.backend={json.dumps(backend)}"]
    if scheduler is not None:
        chosen += [f"store.scheduler={json.dumps(scheduler)}"]
    if max_rejected_fraction is not None:
        chosen += [f"store.max_rejected_fraction={max_rejected_fraction}"]
    reader = public if manifest is None else "cohort"
    one = load_one_set(params, chosen, BUILT_IN, dataset=dataset, reader=reader, given=given)
    one = replace(one, params=tracked_if_installed(one.params, overrides))
    report = preprocess_set(one, out, figure=figure)
    new = report.counted - report.resumed
    typer.echo(f"{report.counted} recordings = {report.stored} stored + {report.rejected} rejected", nl=False)
    if report.windows > report.stored:
        typer.echo(f", {report.windows} windows", nl=False)
    typer.echo(f", {report.seconds:.1f} s, {_speed(new, report.seconds)}")
    print_findings(report)
    if figure is not None:
        typer.echo(f"wrote {figure}")
    return 3 if report.rejected else 0


def _speed(new: int, seconds: float) -> str:
    """Return the number of recordings per second of this run, with two digits if it is below 10."""
    if not new:
        return "all prepared by an earlier run"
    return f"{new / seconds:.0f} recordings/s" if new >= 10 * seconds else f"{new / seconds:.2g} recordings/s"

"""Verbs on recordings: simulate, preprocess, draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Overrides, ParamsFile, Workers, app
from ecgssl.cli.cohorts import Columns, Dates, PathPrefix, Root, TargetsFile, Values, cohort_overrides, tell_findings
from ecgssl.errors import InputError, Problem


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="New folder for records and manifest.csv.")],
    patients: Annotated[int, typer.Option(min=1)] = 400,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Workers = -1,
) -> None:
    """Make synthetic 12-lead recordings (WFDB) with a manifest.

    Example: ecgssl simulate --out demo --patients 100
    """
    from ecgssl.config import SyntheticParams
    from ecgssl.datasets.synthetic.simulate import simulate as make
    from ecgssl.progress import progress

    with progress("simulate", patients, "patients") as advance:
        manifest = make(out, SyntheticParams(patients=patients), seed, workers, advance)
    typer.echo(f"wrote {manifest}; these hearts are invented, figures on them say nothing about patients")


@app.command()
def preprocess(
    out: Annotated[Path, typer.Option(help="New folder of the store.")],
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    manifest: Annotated[Path | None, typer.Option(help="Table of a cohort; sets data.set and data.manifest.")] = None,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    public: Annotated[
        str | None, typer.Option(help="Public set; sets data.set, and data.root to --root (docs/data.md).")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Label set of the public set; sets data.labels.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; -1 for one per core.")] = None,
    backend: Annotated[str | None, typer.Option(help="loky, dask or ray; sets store.backend.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask or Ray cluster; sets store.scheduler.")
    ] = None,
    max_rejected_fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="Stop where more of the recordings cannot be used.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="PNG of the worst recordings of each reason code, by row number only.")
    ] = None,
) -> int:
    """Read, check, clean and store recordings.

    Example: ecgssl preprocess --manifest cohort.csv --out data/mine --figure findings.png
    """
    from ecgssl.config import load_params
    from ecgssl.datasets import load
    from ecgssl.preprocessing.preprocess import preprocess as run
    from ecgssl.store.patient_key import load_or_make_key

    chosen = list(overrides or [])
    if (manifest is None) == (public is None) and (root is not None or labels is not None or manifest is not None):
        what = "--root and --labels belong to a table or to a public set, and only one of these is read"
        raise InputError(Problem("preprocess", "--manifest, --public", what, "Name one of the two"))
    if manifest is not None:
        chosen += cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
    if public is not None:
        chosen += [f"data.set={json.dumps(public)}", f"data.labels={json.dumps(labels)}"]
        chosen += [f"data.root={json.dumps(str(root))}"] if root is not None else []
    if workers is not None:
        chosen += [f"store.workers={workers}"]
    if backend is not None:
        chosen += [f"store.backend={json.dumps(backend)}"]
    if scheduler is not None:
        chosen += [f"store.scheduler={json.dumps(scheduler)}"]
    if max_rejected_fraction is not None:
        chosen += [f"store.max_rejected_fraction={max_rejected_fraction}"]
    p = load_params(params, chosen)
    cohort = load(p.data, "data/raw", p.seed)
    report = run(cohort, p, out, load_or_make_key(p.data.patient_key))
    new = report.counted - report.resumed
    typer.echo(f"{report.counted} recordings = {report.stored} stored + {report.rejected} rejected", nl=False)
    typer.echo(f", {report.seconds:.1f} s, {new / report.seconds:.0f} recordings/s")
    tell_findings(report)
    if figure is not None:
        from ecgssl.inspection.worst_figure import write_worst

        typer.echo(f"wrote {write_worst(figure, cohort, out, p)}")
    return 3 if report.rejected else 0


@app.command()
def draw(
    record: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    clean: Annotated[bool, typer.Option(help="Band-pass first, as the default contract does.")] = False,
) -> None:
    """Draw a recording on 12-lead paper, 25 mm/s and 10 mm/mV.

    Example: ecgssl draw rec1.hea --out rec1.png
    """
    import numpy as np

    from ecgssl.files import write_atomic
    from ecgssl.io import read
    from ecgssl.signal.cleaning import clean as band_pass
    from ecgssl.signal.drawing import draw_12_lead, png_bytes
    from ecgssl.signal.leads import LEADS, arrange
    from ecgssl.signal.spec import SignalSpec

    recording = read(record)
    signal, mask = arrange(recording.signal, recording.leads)
    rate = recording.sampling_rate
    if clean:
        spec = SignalSpec(sampling_rate=250.0)
        usable = mask & np.isfinite(signal).all(axis=1)
        signal, mask, rate = band_pass(np.where(usable[:, None], signal, 0), rate, spec), usable, spec.sampling_rate
    write_atomic(out, png_bytes(draw_12_lead(signal, rate, LEADS, mask, title=recording.record_id)))
    typer.echo(f"wrote {out}")

"""Verbs that make models: pretrain, finetune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app
from ecgssl.cli.cohorts import Columns, Dates, PathPrefix, Root, TargetsFile, Values, cohort_overrides


@app.command()
def pretrain(
    store: Annotated[Path, typer.Option(help="Store made by preprocess.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder, metrics and plots.")],
    max_time: Annotated[float | None, typer.Option(help="Minutes after which it saves and stops.")] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain CoRe-ECG; the same command resumes a stopped run. Several processes or machines: by torchrun.

    Example: ecgssl pretrain --store data/mine --out runs/a --max-time 120
    """
    from ecgssl.config import load_params
    from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
    from ecgssl.pretraining.diagnostics.publish import publish_pretraining
    from ecgssl.pretraining.loop import pretrain as run
    from ecgssl.pretraining.run_identity import run_name
    from ecgssl.store.store import Store
    from ecgssl.tracking.runs import track
    from ecgssl.training.device import resolve_device
    from ecgssl.training.ranks import process_group

    limit = [] if max_time is None else [f"pretrain.max_time={max_time}"]
    p, data = load_params(params, [*(overrides or []), *limit]), Store(store)
    with (
        process_group(resolve_device(p.pretrain.device)) as ranks,
        track("pretrain", p, enabled=ranks.first) as tracked,
    ):
        result = run(
            data,
            p,
            out / run_name(p, data),
            ranks=ranks,
            on_log=lambda row: tracked.log_metrics(row, step=int(row["samples"])),
            on_epoch=EpochMonitor(data, p),
        )
        if not ranks.first:
            return
        figures = publish_pretraining(result, data, p, out / "pretrained", out / "pretrain.json", out / "plots")
        tracked.log_metrics({f"val_{k}": v for k, v in figures.items()}, step=result.seen)
        tracked.set_tags({"collapse": result.collapse or "none"})
        result.discard()
    typer.echo(
        f"{result.seen} recordings in {result.seconds:.0f} s ({result.device}, {result.precision}, "
        f"processes: {result.processes}, waiting for data: {result.waited:.1%}, looking on: {result.monitored:.1%})"
    )
    typer.echo(json.dumps({k: round(v, 4) for k, v in figures.items()}, indent=1))


@app.command()
def finetune(
    out: Annotated[Path, typer.Option(help="Folder for classifier, predictions and metrics.")],
    targets: Annotated[str, typer.Option(help="Names, separated by commas; or age.")],
    store: Annotated[Path | None, typer.Option(help="Store made by preprocess, with the targets.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Instead of a store: table of a cohort.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="Pretrained encoder, where it is no bundle.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle of an encoder; with --manifest, also its contract.")
    ] = None,
    mode: Annotated[Literal["linear", "attentive", "full", "scratch"], typer.Option()] = "linear",
    share: Annotated[float, typer.Option(help="Part of the train patients whose labels are used.")] = 1.0,
    leads: Annotated[str, typer.Option(help="Recorded leads, such as I,II,V2, or a set: 3lead.")] = "12lead",
    folds: Annotated[
        int | None, typer.Option(min=2, help="Cross-validate a small cohort, by patient (linear).")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="How often the folds are dealt anew.")] = None,
    report: Annotated[bool, typer.Option(help="Write report.html and report.json, too.")] = True,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Fine-tune and evaluate, beside the random encoder; from a store, or from a table and a bundle.

    Example: ecgssl finetune --bundle exports/encoder --manifest cohort.csv --targets af --out runs/af
    """
    from ecgssl.cli.sources import data_and_encoder, one_source
    from ecgssl.config import load_params
    from ecgssl.finetuning.pipeline import finetune_and_evaluate
    from ecgssl.leakage.overlap import in_words

    names = [t.strip() for t in targets.split(",") if t.strip()]
    one_source(store, manifest, encoder, bundle, [root, column, value, path_prefix, dates, targets_file])
    given = list(overrides or [])
    if manifest is not None:
        given += cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
    given += [f"finetune.folds={folds}"] if folds is not None else []
    given += [f"finetune.repeats={repeats}"] if repeats is not None else []
    p = load_params(params, given, default={"tasks": {"task": names}})
    data, source = data_and_encoder(p, store, encoder, bundle, names, out)
    run = finetune_and_evaluate(
        data, source, names, mode, p, out, share=share, recorded=leads, cross_validated=folds is not None
    )
    typer.echo(f"overlap with pretraining: {in_words(run.overlap)}")
    typer.echo(run.board, nl=False)
    if report:
        from ecgssl.report.build import HTML, write_report

        write_report(out, data)
        typer.echo(f"wrote {out / HTML}")

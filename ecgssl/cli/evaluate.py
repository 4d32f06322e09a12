"""Command ``ecgssl evaluate``, which evaluates a run on an external cohort or computes metrics from predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ecgssl.cli.app import Dataset, Overrides, ParamsFile, app
from ecgssl.cli.attribution_option import AttributionOption
from ecgssl.cli.manifest_options import (
    Columns,
    Dates,
    PathPrefix,
    Root,
    TargetsFile,
    Values,
    cohort_overrides,
    unused_table_options,
)
from ecgssl.errors import InputError, Problem, require

if TYPE_CHECKING:
    from ecgssl.finetuning.evaluate_external import External

Overlap = Annotated[
    Literal["error", "warn"],
    typer.Option(help="Action if the run was trained on recordings or patients of the cohort."),
]
Share = Annotated[
    float, typer.Option(help="Share of the patients for fitting calibrators; the others are for evaluation.")
]
NewThresholds = Annotated[bool, typer.Option("--new-thresholds", help="Also choose new thresholds on that share.")]


@app.command()
def evaluate(
    out: Annotated[Path, typer.Option(help="JSON file to write; with --run a new folder.")],
    predictions: Annotated[Path | None, typer.Argument(help="predictions.csv of a fine-tuning.")] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Run, or name of a shipped classifier, to evaluate without changes on an external cohort."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store of the cohort, with the preprocessing settings of the run.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Table of the external cohort, instead of a store.")] = None,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    recalibrate: Annotated[bool, typer.Option("--recalibrate", help="Also evaluate with new calibrators.")] = False,
    share: Share = 0.5,
    new_thresholds: NewThresholds = False,
    overlap: Overlap = "error",
    report: Annotated[bool, typer.Option(help="With --run, also write report.html and report.json.")] = True,
    attribution: AttributionOption = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    dataset: Dataset = None,
) -> int:
    """Evaluate a fine-tuned model on an external cohort, or compute all metrics from a prediction file.

    Example: ecgssl evaluate --run runs/af --manifest external.csv --out runs/af-external
    """
    from ecgssl.config import BUILT_IN, OneSet, load_one_set, load_params
    from ecgssl.output_lock import exclusive
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store

    table_options = [root, column, value, path_prefix, dates, targets_file, dataset]
    unused_attribution = attribution is not None and (run is None or not report)
    _require_one_source(predictions, run, store, manifest, table_options, unused_attribution)
    if run is not None:
        require("ecgssl evaluate", "torch")
    cohort: Path | OneSet | None = store
    if manifest is not None:
        given = cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
        cohort = load_one_set(
            params, overrides, BUILT_IN, dataset=dataset, reader="cohort", given=[*given, "split.kind=external"]
        )
    p = cohort.params if isinstance(cohort, OneSet) else load_params(params, overrides, BUILT_IN)
    if store is not None:
        require_store_settings(overrides, p, Store(store))
    if predictions is not None:
        from ecgssl.evaluation.predictions import read_predictions
        from ecgssl.stages.evaluate import evaluate_predictions

        with exclusive(out):
            evaluate_predictions(read_predictions(predictions), p, out, store=None if store is None else Store(store))
        typer.echo(f"wrote {out}")
        return 0
    from ecgssl.encoders.shipped import model_folder
    from ecgssl.finetuning.evaluate_external import evaluate_external, store_of
    from ecgssl.report.build import HTML, write_report

    assert run is not None
    assert cohort is not None
    source = model_folder(run, "--run")
    with exclusive(out):
        found = evaluate_external(
            source,
            p,
            out,
            cohort,
            overlap=overlap,
            share=share if recalibrate else None,
            new_thresholds=new_thresholds,
            overrides=overrides or [],
        )
        print_external(found, out)
        if report:
            write_report(source, Store(store or store_of(out)), external=out, attribution=attribution)
            typer.echo(f"wrote {out / HTML}")
    return 3 if manifest is not None and found.figures["external"]["rejected"] else 0


def _require_one_source(
    predictions: Path | None,
    run: str | None,
    store: Path | None,
    manifest: Path | None,
    table_options: Sequence[object],
    unused_attribution: bool,
) -> None:
    """Check that one source of predictions and one cohort are given and that the other options fit them.

    Args:
        predictions, run, store, manifest: values of the options.
        table_options: values of the options that describe a table.
        unused_attribution: whether ``--attribution`` is given without a report.

    Raises:
        InputError: options are missing or exclude each other. The message lists all errors.
    """
    problems = unused_table_options("evaluate", manifest, table_options)
    if unused_attribution:
        what = "applies only to the report of --run"
        problems.append(
            Problem("evaluate", "--attribution", what, "Use --run without --no-report, or remove this option")
        )
    if (predictions is None) == (run is None):
        what = "neither is given" if run is None else "both are given"
        problems.append(Problem("evaluate", "predictions, --run", what, "Use either a prediction file or --run"))
    elif run is not None and (store is None) == (manifest is None):
        what = "neither is given" if store is None else "both are given"
        problems.append(Problem("evaluate", "--store, --manifest", what, "Use either --store or --manifest"))
    elif predictions is not None and manifest is not None:
        what = "cannot be combined with a prediction file"
        problems.append(
            Problem("evaluate", "--manifest", what, "Remove --manifest, and set --store to evaluate subgroups")
        )
    if problems:
        raise InputError(problems)


def print_external(found: External, out: Path) -> None:
    """Print the results of an evaluation on an external cohort: counts, overlap with training data, and metrics."""
    from ecgssl.leakage.overlap import in_words

    about, primary = found.figures["external"], found.figures["primary"]
    rejected = sum(about["rejected"].values())
    typer.echo(f"{about['recordings']} recordings = {about['judged']} with a known target", nl=False)
    typer.echo(f" + {about['without_known_target']} without a known target + {rejected} rejected")
    if about["leads"]["missing"]:
        typer.echo(
            f"  missing leads (recordings): {', '.join(f'{lead} ({n})' for lead, n in about['leads']['missing'].items())}"
        )
    if about["absent_targets"]:
        typer.echo(f"  targets that this cohort does not have: {', '.join(about['absent_targets'])}")
    typer.echo(f"overlap with the training data of the run: {in_words(about['overlap'])}")
    main, clinical = found.figures["main"], found.figures["clinical"]
    for name, models in (("frozen", found.figures["models"]), ("recalibrated", _again(found))):
        if models:
            entry = models[main]["external"]
            typer.echo(f"{name}: macro {primary} {_interval(entry['macro'][primary])}")
            for label, figures in entry["labels"].items():
                if "calibration" in figures and figures["records"]:
                    slope, brier = figures["calibration"]["after"]["slope"], figures["calibration"]["after"]["brier"]
                    text = (
                        f"{primary} {_interval(figures[primary])}, slope {_interval(slope)}, Brier {_interval(brier)}"
                    )
                    typer.echo(f"  {label}: {figures['positives']} of {figures['records']} positive; {text}")
    if clinical is None:
        typer.echo(f"clinical baseline: none ({about['clinical_baseline']['left_out'] or 'not evaluated'})")
    else:
        value = found.figures["models"][clinical]["external"]["macro"][primary]
        paired = found.figures["paired"]["external"][clinical][primary]
        difference = _interval({"value": paired["difference"], **{k: paired.get(k) for k in ("low", "high")}})
        typer.echo(f"clinical baseline ({clinical}): macro {primary} {_interval(value)}")
        typer.echo(f"difference of the model from the clinical baseline: {difference}")
    for label in found.recalibrated.labels if found.recalibrated is not None else ():
        if label.calibrator.reason:
            typer.echo(f"note: calibrator of {label.name}: {label.calibrator.reason}")
    typer.echo(f"wrote {out}")


def _again(found: External) -> dict[str, Any] | None:
    return found.figures["recalibrated"]["models"] if "recalibrated" in found.figures else None


def _interval(number: dict[str, float | None]) -> str:
    value, low, high = (number[key] for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"

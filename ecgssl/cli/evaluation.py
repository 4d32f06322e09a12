"""Verbs that judge models: evaluate, recalibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app
from ecgssl.cli.cohorts import Columns, Dates, PathPrefix, Root, TargetsFile, Values, cohort_overrides
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.finetuning.evaluate_external import External

Overlap = Annotated[
    Literal["error", "warn"],
    typer.Option(help="What follows where the run has learned from recordings or patients of the cohort."),
]
Share = Annotated[float, typer.Option(help="Part of the patients that calibrators are learned from; the rest judge.")]
NewThresholds = Annotated[bool, typer.Option("--new-thresholds", help="Choose thresholds anew, too, on that part.")]


@app.command()
def evaluate(
    out: Annotated[Path, typer.Option(help="JSON file to write; with --run a new folder.")],
    predictions: Annotated[Path | None, typer.Argument(help="predictions.csv of a fine-tuning.")] = None,
    run: Annotated[Path | None, typer.Option(help="Frozen run to judge on an external cohort.")] = None,
    store: Annotated[Path | None, typer.Option(help="Store of the cohort, of the run's contract.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Instead: table of the external cohort.")] = None,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    recalibrate: Annotated[bool, typer.Option("--recalibrate", help="Also with new calibrators.")] = False,
    share: Share = 0.5,
    new_thresholds: NewThresholds = False,
    overlap: Overlap = "error",
    report: Annotated[bool, typer.Option(help="With --run, write report.html and report.json, too.")] = True,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Judge a frozen run on an external cohort, or compute every metric again from a prediction file.

    Example: ecgssl evaluate --run runs/af --manifest external.csv --out runs/af-external
    """
    from ecgssl.config import load_params
    from ecgssl.files import write_json
    from ecgssl.store.store import Store

    _one_source(predictions, run, store, manifest)
    given = list(overrides or [])
    if manifest is not None:
        given += cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
        given.append("data.split.kind=external")
    p = load_params(params, given, default={"tasks": {"task": ["any"]}})
    if predictions is not None:
        from ecgssl.evaluation.evaluate import evaluate as score
        from ecgssl.evaluation.predictions import read_predictions

        index = None if store is None else Store(store).index.set_index("record_id")
        groups = None if index is None else index[[c for c in p.evaluate.subgroups if c in index]]
        write_json(out, score(read_predictions(predictions), p.evaluate, p.seed, groups=groups))
        typer.echo(f"wrote {out}")
        return
    from ecgssl.finetuning.evaluate_external import evaluate_external, store_of
    from ecgssl.report.build import HTML, write_report

    assert run is not None
    found = evaluate_external(
        run, p, out, store, overlap=overlap, share=share if recalibrate else None, new_thresholds=new_thresholds
    )
    _tell(found, out)
    if report:
        write_report(run, Store(store or store_of(out)), judged=out)
        typer.echo(f"wrote {out / HTML}")


@app.command()
def recalibrate(
    run: Annotated[Path, typer.Option(help="Run of another site.")],
    store: Annotated[Path, typer.Option(help="Store of the new site, of the run's contract.")],
    out: Annotated[Path, typer.Option(help="New run: the same model with calibrators of the new site.")],
    share: Share = 0.5,
    new_thresholds: NewThresholds = False,
    overlap: Overlap = "error",
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Learn new calibrators from a share of a new site's patients, and judge them by the rest.

    Example: ecgssl recalibrate --run runs/af --store data/newsite --out runs/af-newsite
    """
    from ecgssl.config import load_params
    from ecgssl.finetuning.evaluate_external import recalibrate_run

    p = load_params(params, overrides, default={"tasks": {"task": ["any"]}})
    _tell(recalibrate_run(run, p, store, out, share=share, new_thresholds=new_thresholds, overlap=overlap), out)


def _one_source(predictions: Path | None, run: Path | None, store: Path | None, manifest: Path | None) -> None:
    problems = []
    if (predictions is None) == (run is None):
        what = "one of the two is needed" if run is None else "both are given"
        problems.append(Problem("evaluate", "predictions, --run", what, "Name a prediction file, or a frozen run"))
    elif run is not None and (store is None) == (manifest is None):
        what = "one of the two is needed" if store is None else "both are given"
        problems.append(Problem("evaluate", "--store, --manifest", what, "Name the external cohort once"))
    elif predictions is not None and manifest is not None:
        what = "has no meaning with a prediction file"
        problems.append(Problem("evaluate", "--manifest", what, "Leave it out; --store adds subgroups"))
    if problems:
        raise InputError(problems)


def _tell(found: External, out: Path) -> None:
    from ecgssl.leakage.overlap import in_words

    about, primary = found.figures["external"], found.figures["primary"]
    rejected = sum(about["rejected"].values())
    typer.echo(f"{about['recordings']} recordings = {about['judged']} with a known target", nl=False)
    typer.echo(f" + {about['without_known_target']} without + {rejected} rejected")
    if about["leads"]["missing"]:
        typer.echo(f"  without {', '.join(f'{lead} ({n})' for lead, n in about['leads']['missing'].items())}")
    if about["absent_targets"]:
        typer.echo(f"  not in this cohort: {', '.join(about['absent_targets'])}")
    typer.echo(f"overlap with what the run has learned from: {in_words(about['overlap'])}")
    main = found.figures["main"]
    for name, models in (("frozen", found.figures["models"]), ("recalibrated", _again(found))):
        if models:
            entry = models[main]["external"]
            typer.echo(f"{name}: macro {primary} {_interval(entry['macro'][primary])}")
            for label, told in entry["labels"].items():
                if "calibration" in told and told["records"]:
                    slope, before = told["calibration"]["after"]["slope"], told["calibration"]["after"]["brier"]
                    said = f"{primary} {_interval(told[primary])}, slope {_interval(slope)}, Brier {_interval(before)}"
                    typer.echo(f"  {label}: {told['positives']} of {told['records']}; {said}")
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

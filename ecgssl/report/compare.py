"""Comparison of runs on the same test recordings: metrics with intervals, and paired differences from the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pandas as pd
from markupsafe import Markup

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import named_mode
from ecgssl.evaluation.predictions import kind_of, labels_of
from ecgssl.evaluation.statistics.metrics import headline_metrics
from ecgssl.files import write_atomic, write_json
from ecgssl.html.charts import forest, mark
from ecgssl.html.environment import render
from ecgssl.output_lock import exclusive
from ecgssl.report.build import RunFiles, read_run
from ecgssl.report.charts import MOST_BARS, estimate_text
from ecgssl.report.sections import TEMPLATES

ABOUT = ["mode", "task", "labels used", "recorded leads", "encoder", "signal contract"]
_MARKS = ("main", "base", "other")


def write_comparison(
    runs: Sequence[Path | str], out: Path | str, params: EvaluateParams | None = None, seed: int = 0
) -> list[str]:
    """Write an HTML page and a JSON file that compare several runs with the first one.

    Args:
        runs: 2 to 26 output folders of ``ecgssl finetune``; they are named A, B, ... in this order.
        out: path of the page; the JSON file has the same name with the suffix ``.json``.
        params: evaluation parameters, such as the number of resamples and the level of the intervals.
        seed: seed of the resamples.

    Returns:
        The names of the runs.

    Raises:
        InputError: the number of runs is not 2 to 26, a file of a run is missing or invalid, another process uses ``out``, or
            ``compare`` raises it.
    """
    if not 2 <= len(runs) <= len(ascii_uppercase):
        raise InputError(Problem("report", "--compare", f"got {len(runs)} runs", "Use 2 to 26 runs"))
    with exclusive(out):
        files = dict(zip(ascii_uppercase, map(read_run, runs), strict=False))
        comparison = compare(files, [str(run) for run in runs], params or EvaluateParams(), seed)
        write_json(Path(out).with_suffix(".json"), comparison)
        write_atomic(out, render_comparison(comparison))
    return list(files)


def compare(files: Mapping[str, RunFiles], where: Sequence[str], params: EvaluateParams, seed: int) -> dict[str, Any]:
    """Return the evaluation of the main models of several runs.

    Args:
        files: runs by name.
        where: folder of each run, for error messages.
        params, seed: as in ``write_comparison``.

    Raises:
        InputError: the runs differ in outputs, kind of task, or test recordings, patients or targets, or a run has no
            test recordings.
    """
    tables = {name: _main(run, name) for name, run in files.items()}
    first = next(iter(tables))
    problems = []
    for place, found in zip(where, tables.values(), strict=True):
        what = _difference(tables[first], found)
        if what:
            remedy = "Compare runs of one task that were tested on the same recordings of one store"
            problems.append(Problem(place, "predictions", f"{what} {where[0]}", remedy))
    if problems:
        raise InputError(problems)
    test = [found[found["split"] == "test"] for found in tables.values()]
    figures = evaluate(pd.concat(test, ignore_index=True), params, seed, baseline=None, main=first)
    return {
        "format": "ecgssl-comparison",
        "version": 1,
        "kind": kind_of(tables[first]),
        "labels": labels_of(tables[first]),
        "runs": {name: _about(run) for name, run in files.items()},
        "records": figures["splits"]["test"]["records"],
        "patients": figures["splits"]["test"]["patients"],
        "method": {key: figures["method"][key] for key in ("interval", "paired") if key in figures["method"]},
        "models": {name: figures["models"][name]["test"] for name in files},
        "paired": figures["paired"]["test"],
    }


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Return the HTML page that compares several runs."""
    kind = comparison["kind"]
    values = {
        **comparison,
        "first": next(iter(comparison["runs"])),
        "about": ABOUT,
        "metrics": {metric.name: metric.title for metric in headline_metrics(kind) if metric.paired},
        "chart": _forest(comparison) if kind != "regression" else "",
    }
    return render(TEMPLATES, "compare.html", **values)


def _forest(comparison: Mapping[str, Any]) -> Markup:
    models = comparison["models"].values()
    if len(models) > len(_MARKS) or len(comparison["labels"]) > MOST_BARS:
        return Markup("")
    rows = []
    for label in comparison["labels"]:
        found = [model["labels"][label]["auroc"] for model in models]
        marks = [mark(kind, one) for kind, one in zip(_MARKS, found, strict=False)]
        rows.append((label, estimate_text(found[0]), marks))
    return forest(rows, "AUROC with confidence interval")


def _main(run: RunFiles, name: str) -> pd.DataFrame:
    """Return the predictions of a run's main model, with the name of the run as the model name."""
    table = run.predictions
    return table[table["model"] == run.evaluation["main"]].assign(model=name)


def _difference(first: pd.DataFrame, second: pd.DataFrame) -> str:
    if kind_of(first) != kind_of(second) or labels_of(first) != labels_of(second):
        return "has other outputs than"
    shared = ["record_id", "patient", *(f"target__{name}" for name in labels_of(first))]
    tests = [t.loc[t["split"] == "test", shared].sort_values("record_id", ignore_index=True) for t in (first, second)]
    if not len(tests[0]) or not len(tests[1]):
        return "has no test recordings in common with"
    if tests[0]["record_id"].tolist() != tests[1]["record_id"].tolist():
        return "was tested on other recordings than"
    return "" if tests[0].equals(tests[1]) else "has other patients or targets for the same recordings than"


def _about(run: RunFiles) -> dict[str, str]:
    width, depth, heads = run.classifier.encoder.params.shape
    mode = str(run.config.get("mode", run.evaluation["main"]))
    return {
        "mode": named_mode(mode, run.choices),
        "task": str(run.config.get("task") or ""),
        "labels used": f"{100 * float(run.config.get('share') or 1.0):g} %",
        "recorded leads": str(len(run.config.get("recorded_leads") or run.contract["leads"])),
        "encoder": f"width {width}, depth {depth}, {heads} heads",
        "signal contract": str(run.contract["short"]),
    }

"""Runs side by side on the recordings that they share: figures with intervals, and paired differences from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import kind_of, labels_of
from ecgssl.evaluation.statistics.metrics import headline_metrics
from ecgssl.files import write_atomic, write_json
from ecgssl.html.page import page
from ecgssl.report.build import RunFiles, read_run
from ecgssl.report.charts import Mark, forest, mark
from ecgssl.report.template import STYLE
from ecgssl.report.text import estimate, plain_estimate, probability, table

_ABOUT = ("mode", "task", "labels used", "recorded leads", "encoder", "signal contract")
_MARKS = ("main", "base", "other")


def write_comparison(
    runs: Sequence[Path | str], out: Path | str, params: EvaluateParams | None = None, seed: int = 0
) -> list[str]:
    """Write a page, and JSON beside it, that compares runs with the first of them.

    Args:
        runs: two or more folders of ``ecgssl finetune``; they are called A, B, ... in this order.
        out: the page; JSON goes beside it under the same name.
        params: resamples and width of the intervals.
        seed: of the resamples.

    Returns:
        What the runs are called.

    Raises:
        InputError: fewer than two runs or more than 26, an unusable one, or runs that were not tested on the same recordings
            for the same outputs.
    """
    if not 2 <= len(runs) <= len(ascii_uppercase):
        raise InputError(Problem("report", "--compare", f"{len(runs)} runs are named", "Name 2 to 26"))
    files = dict(zip(ascii_uppercase, map(read_run, runs), strict=False))
    comparison = compare(files, [str(run) for run in runs], params or EvaluateParams(), seed)
    write_json(Path(out).with_suffix(".json"), comparison)
    write_atomic(out, render(comparison))
    return list(files)


def compare(files: Mapping[str, RunFiles], where: Sequence[str], params: EvaluateParams, seed: int) -> dict[str, Any]:
    """Evaluate the main models of several runs together.

    Args:
        files: runs by what they are called.
        where: of each, for messages.
        params, seed: of the evaluation.

    Raises:
        InputError: the runs differ in outputs, kind of task, or test recordings, patients or targets.
    """
    tables = {name: _main(run, name) for name, run in files.items()}
    first = next(iter(tables))
    problems = []
    for place, found in zip(where, tables.values(), strict=True):
        what = _difference(tables[first], found)
        if what:
            remedy = "Compare runs of one task that were tested on the same recordings of one store"
            problems.append(Problem(place, "predictions", f"{what} than {where[0]}", remedy))
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


def render(comparison: Mapping[str, Any]) -> str:
    """The page as text."""
    metrics = [(m.name, m.title) for m in headline_metrics(comparison["kind"]) if m.paired]
    first, *others = comparison["runs"]
    about = [[f"<b>{name}</b>", *(escape(str(run[key])) for key in _ABOUT)] for name, run in comparison["runs"].items()]
    macro = [
        [f"<b>{name}</b>", *(estimate(comparison["models"][name]["macro"].get(metric)) for metric, _ in metrics)]
        for name in comparison["runs"]
    ]
    paired = [
        [f"{first} less {other}", title, estimate(comparison["paired"][other][metric], sign="+"),
         probability(comparison["paired"][other][metric]["p"])]
        for other in others
        for metric, title in metrics
        if metric in comparison["paired"][other]
    ]  # fmt: skip
    key = "<p class='soft'>Lines from above: " + ", ".join(comparison["runs"]) + ".</p>"
    interval = escape(comparison["method"].get("interval", ""))
    body = (
        f"<h1>{len(comparison['runs'])} runs compared</h1><p class='soft'>On the same {comparison['records']:,} test "
        f"recordings of {comparison['patients']:,} patients. Runs are called by letters; the page names no patient, file or "
        "recording.</p>"
        f"<h2>The runs</h2>{table(['', *_ABOUT], about, text=len(_ABOUT) + 1)}"
        f"<h2>Over all outputs</h2>{table(['', *(title for _, title in metrics)], macro)}"
        f"<h2>Differences</h2><p>On the same recordings, patients drawn together. Intervals: {interval}.</p>"
        f"{table(['', 'of', 'difference (interval)', ''], paired, text=2)}"
        f"<h2>Each output</h2>{key if comparison['kind'] != 'regression' else ''}{_labels(comparison)}"
        "<footer>Research use only. Not a medical device.</footer>"
    )
    return page("Runs compared", STYLE, body)


def _labels(comparison: Mapping[str, Any]) -> str:
    metric = headline_metrics(comparison["kind"])[0].name
    names = list(comparison["runs"])
    bars: list[tuple[str, str, list[Mark]]] = []
    rows: list[list[str]] = []
    for label in comparison["labels"]:
        found = [comparison["models"][name]["labels"][label] for name in names]
        support = (
            f"{found[0]['positives']:,} of {found[0]['records']:,}"
            if "positives" in found[0]
            else f"{found[0]['records']:,}"
        )
        rows.append([escape(label), support, *(estimate(one[metric]) for one in found)])
        marks = [mark(_MARKS[min(i, len(_MARKS) - 1)], one[metric]) for i, one in enumerate(found)]
        bars.append((label, plain_estimate(found[0][metric]), marks))
    chart = forest(bars, "AUROC, with interval") if metric == "auroc" and len(names) <= 3 and len(bars) <= 30 else ""
    return f"<div class='scroll'>{chart}</div>" + table(
        ["output", "positive" if metric == "auroc" else "recordings", *names], rows
    )


def _main(run: RunFiles, name: str) -> pd.DataFrame:
    """Rows of a run's main model, called by the run's name."""
    table = run.predictions
    return table[table["model"] == run.evaluation["main"]].assign(model=name)


def _difference(first: pd.DataFrame, second: pd.DataFrame) -> str:
    if kind_of(first) != kind_of(second) or labels_of(first) != labels_of(second):
        return "has other outputs"
    shared = ["record_id", "patient", *(f"target__{name}" for name in labels_of(first))]
    tests = [t.loc[t["split"] == "test", shared].sort_values("record_id", ignore_index=True) for t in (first, second)]
    if not len(tests[0]) or not len(tests[1]):
        return "has no test recordings in common"
    if tests[0]["record_id"].tolist() != tests[1]["record_id"].tolist():
        return "was tested on other recordings"
    return "" if tests[0].equals(tests[1]) else "has other patients or targets of the same recordings"


def _about(run: RunFiles) -> dict[str, str]:
    width, depth, heads = run.classifier.encoder.params.shape
    return {
        "mode": str(run.config.get("mode", run.evaluation["main"])),
        "task": str(run.config.get("task") or ""),
        "labels used": f"{100 * float(run.config.get('share') or 1.0):g} %",
        "recorded leads": str(len(run.config.get("recorded_leads") or run.contract["leads"])),
        "encoder": f"width {width}, depth {depth}, {heads} heads",
        "signal contract": str(run.contract["short"]),
    }

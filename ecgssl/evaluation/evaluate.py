"""From prediction tables to the numbers of a report: metrics with support and interval, and who beats whom."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration import BINS, brier, expected_calibration_error
from ecgssl.evaluation.intervals import (
    METRICS,
    Interval,
    Replicates,
    bootstrap,
    interval,
    macro_interval,
    paired_difference,
)
from ecgssl.evaluation.metrics import Array, macro, ranking_metrics, support
from ecgssl.evaluation.predictions import check_predictions, labels_of

SPLITS = ("val", "test")


@dataclass(frozen=True)
class _Scored:
    point: dict[str, Array]
    replicates: Replicates


def evaluate(
    predictions: pd.DataFrame,
    params: EvaluateParams,
    seed: int,
    baseline: str | None = "random",
    main: str | None = None,
) -> dict[str, Any]:
    """Evaluate every model of a prediction table on validation and test.

    Args:
        predictions: tables of ``prediction_table``, concatenated; all models on the same records.
        params: resamples and width of the intervals.
        seed: of the bootstrap; all models of a split share its draws.
        baseline: name of the random encoder's probe, which must be there; none to do without.
        main: the model that is compared with every other; the first that is not the baseline where not given.

    Returns:
        JSON-ready ``{"labels", "main", "baseline", "method", "splits": {split: {records, patients}},
        "models": {model: {split: {"macro", "labels"}}}, "paired": {split: {other: {metric:
        {difference, low, high, p}}}}}``. A number that is not defined is None, with its reason beside it under
        ``undefined``. ``dropped`` counts the resamples that left a label out.

    Raises:
        InputError: an invalid table, an absent baseline or main model, or models scored on different records.
    """
    table = check_predictions(predictions, "predictions")
    models = list(dict.fromkeys(table["model"]))
    main = main or next((m for m in models if m != baseline), models[0])
    _require_models(models, baseline, main)
    names = labels_of(table)
    splits = [s for s in SPLITS if (table["split"] == s).any()]
    if not splits:
        raise InputError(Problem("predictions", "split", "neither val nor test has a row", "Predict these splits"))
    result: dict[str, Any] = {
        "labels": names,
        "main": main,
        "baseline": baseline,
        "method": {
            "interval": f"percentile bootstrap of patients, {params.bootstrap} resamples, {params.confidence:g}",
            "paired": "bootstrap of the macro difference on the same patients, two-sided",
            "ece": f"{BINS} bins of equal count by rank, ties together",
            "seed": seed,
        },
        "splits": {},
        "models": {m: {} for m in models},
        "paired": {},
    }
    for split in splits:
        parts = _aligned(table[table["split"] == split], models, names, split)
        patients = parts[main]["patient"].to_numpy().astype(str)
        result["splits"][split] = {"records": len(patients), "patients": len(np.unique(patients))}
        scored = {}
        for model, part in parts.items():
            scored[model] = _score(part, names, patients, params, seed)
            result["models"][model][split] = _describe(part, names, scored[model], params.confidence)
        if split == "test":
            others = [m for m in models if m != main]
            result["paired"][split] = {m: _compare(scored[main], scored[m], params.confidence) for m in others}
    return result


def _require_models(models: list[str], baseline: str | None, main: str) -> None:
    missing = [m for m in (baseline, main) if m is not None and m not in models]
    if missing:
        remedy = "Predict with it as well, or name another"
        raise InputError(Problem("predictions", "model", f"{m!r} is not among {models}", remedy) for m in missing)


def _aligned(table: pd.DataFrame, models: list[str], names: list[str], split: str) -> dict[str, pd.DataFrame]:
    """One table per model, rows sorted by record, after a check that records, patients and targets are the same."""
    parts = {m: table[table["model"] == m].sort_values("record_id", ignore_index=True) for m in models}
    shared = ["record_id", "patient", *(f"target__{n}" for n in names)]
    first = parts[models[0]][shared]
    problems = []
    for model in models[1:]:
        if not parts[model][shared].equals(first):
            what = f"{model!r} has other records, patients or targets than {models[0]!r} in split {split}"
            problems.append(Problem("predictions", "model", what, "Predict the same cohort with every model"))
    if problems:
        raise InputError(problems)
    return parts


def _score(part: pd.DataFrame, names: list[str], patients: Any, params: EvaluateParams, seed: int) -> _Scored:
    targets, logits = _matrix(part, "target", names), _matrix(part, "logit", names)
    values = np.array([[v[0] for v in ranking_metrics(targets[:, k], logits[:, k])] for k in range(len(names))])
    point = {metric: values[:, i] for i, metric in enumerate(METRICS)}
    return _Scored(point, bootstrap(targets, logits, patients, params.bootstrap, seed))


def _describe(part: pd.DataFrame, names: list[str], scored: _Scored, confidence: float) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    for k, name in enumerate(names):
        target, probability = part[f"target__{name}"].to_numpy(), part[f"prob__{name}"].to_numpy()
        counted = support(target)
        entry: dict[str, Any] = {
            "records": counted.records,
            "positives": counted.positives,
            "unknown": counted.unknown,
            "prevalence": counted.positives / counted.records if counted.records else None,
        }
        for metric in METRICS:
            found = interval(scored.replicates.values[metric][:, k], confidence)
            entry[metric] = _number(scored.point[metric][k], found)
        entry["brier"] = _plain(brier(target, probability))
        entry["ece"] = _plain(expected_calibration_error(target, probability))
        if counted.undefined:
            entry["undefined"] = counted.undefined
        labels[name] = entry
    means: dict[str, Any] = {}
    for metric in METRICS:
        defined = ~np.isnan(scored.point[metric])
        found = macro_interval(scored.replicates, metric, defined, confidence)
        means[metric] = _number(float(macro(scored.point[metric])), found)
    means["labels"] = sum("undefined" not in e for e in labels.values())
    means["undefined"] = {n: e["undefined"] for n, e in labels.items() if "undefined" in e}
    return {"macro": means, "labels": labels}


def _compare(first: _Scored, second: _Scored, confidence: float) -> dict[str, Any]:
    found = {}
    for metric in METRICS:
        difference = float(macro(first.point[metric]) - macro(second.point[metric]))
        paired = paired_difference(first.replicates, second.replicates, metric, confidence)
        bounds = {"low": _plain(paired.low), "high": _plain(paired.high), "p": _plain(paired.p)}
        found[metric] = {"difference": _plain(difference), **bounds}
    return found


def _number(value: float, found: Interval) -> dict[str, Any]:
    return {"value": _plain(value), "low": _plain(found.low), "high": _plain(found.high), "dropped": found.dropped}


def _plain(value: float) -> float | None:
    return None if isnan(value) else float(value)


def _matrix(part: pd.DataFrame, kind: str, names: list[str]) -> Array:
    return part[[f"{kind}__{n}" for n in names]].to_numpy(dtype=np.float64)

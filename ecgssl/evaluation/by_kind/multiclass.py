"""Scoring of one answer out of several classes: each class against the rest, and the likeliest class against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import outputs_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import (
    METRICS,
    Estimate,
    Replicates,
    bootstrap,
    macro_interval,
    plain,
    ratios,
)
from ecgssl.evaluation.statistics.metrics import Array, macro, ranking_metrics, support

_SMALLEST = 1e-15
"""Probability below which the log loss of a recording is not taken, as in scikit-learn before version 1.3."""


def score_multiclass(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Score one model on one split; arguments as of ``score_multilabel``, names are of the classes.

    ``macro`` holds AUROC and AUPRC of each class against the rest, averaged; accuracy; balanced accuracy, the mean
    share found of the classes that are there; log loss before and after the temperature. ``confusion`` counts true class
    (row) by likeliest class (column).
    """
    part = part[part[f"target__{names[0]}"].notna()]
    y, z = targets_of(part, names), outputs_of(part, names, "multiclass")
    patients = part["patient"].to_numpy().astype(str)
    p = decision.probabilities(z)
    point, replicates = _ranking(y, p, patients, params, seed)
    shares = ratios(_columns(y, part, p, names), patients, params.bootstrap, seed)
    recalls = [shares[f"recall/{n}"] for n in names]
    balanced = Estimate(
        float(macro([r.value for r in recalls])), macro(np.column_stack([r.replicates for r in recalls]))
    )
    labels = {}
    for k, name in enumerate(names):
        counted = support(y[:, k])
        entry: dict[str, Any] = {
            "records": counted.records,
            "patients": len(np.unique(patients)),
            "positives": counted.positives,
            "prevalence": counted.positives / counted.records if counted.records else None,
            "recall": recalls[k].plain(params.confidence),
            "precision": shares[f"precision/{name}"].plain(params.confidence),
        }
        for metric in METRICS:
            entry[metric] = Estimate(point[metric][k], replicates.values[metric][:, k]).plain(params.confidence)
        labels[name] = entry | ({"undefined": counted.undefined} if counted.undefined else {})
    means: dict[str, Any] = {}
    for metric in METRICS:
        found = macro_interval(replicates, metric, ~np.isnan(point[metric]), params.confidence)
        bounds = {"low": plain(found.low), "high": plain(found.high), "dropped": found.dropped}
        means[metric] = {"value": plain(float(macro(point[metric]))), **bounds}
    means["accuracy"] = shares["accuracy"].plain(params.confidence)
    means["balanced_accuracy"] = balanced.plain(params.confidence)
    means["log_loss"] = {when: shares[f"log_loss/{when}"].plain(params.confidence) for when in ("before", "after")}
    means["labels"] = sum("undefined" not in e for e in labels.values())
    means["undefined"] = {n: e["undefined"] for n, e in labels.items() if "undefined" in e}
    true, likeliest = y.argmax(axis=1), p.argmax(axis=1)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (true, likeliest), 1)
    point, values = dict(point), dict(replicates.values)
    point["accuracy"], values["accuracy"] = np.array([shares["accuracy"].value]), shares["accuracy"].replicates[:, None]
    figures = {"macro": means, "labels": labels, "confusion": counts.tolist()}
    return Result(figures, point, Replicates(values, replicates.draws))


def measure_multiclass(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """AUROC of each class against the rest, and the share of it that is found, in a part of the recordings (a subgroup)."""
    scored = score_multiclass(part, names, decision, params, seed)
    return {
        name: {"auroc": entry["auroc"], "recall": entry["recall"]} for name, entry in scored.figures["labels"].items()
    }


def _ranking(
    y: Array, p: Array, patients: Any, params: EvaluateParams, seed: int
) -> tuple[dict[str, Array], Replicates]:
    values = np.array([[v[0] for v in ranking_metrics(y[:, k], p[:, k])] for k in range(y.shape[1])])
    return {m: values[:, i] for i, m in enumerate(METRICS)}, bootstrap(y, p, patients, params.bootstrap, seed)


def _columns(y: Array, part: pd.DataFrame, p: Array, names: list[str]) -> dict[str, tuple[Array, Array]]:
    raw = part[[f"prob__{n}" for n in names]].to_numpy(dtype=float)
    everyone, right = np.ones(len(y)), (y.argmax(axis=1) == p.argmax(axis=1)).astype(float)
    columns = {"accuracy": (right, everyone)}
    for when, q in (("before", raw), ("after", p)):
        of_truth = np.clip((q * y).sum(axis=1), _SMALLEST, 1.0)
        columns[f"log_loss/{when}"] = (-np.log(of_truth), everyone)
    for k, name in enumerate(names):
        called = (p.argmax(axis=1) == k).astype(float)
        columns[f"recall/{name}"] = (y[:, k] * called, y[:, k])
        columns[f"precision/{name}"] = (y[:, k] * called, called)
    return columns

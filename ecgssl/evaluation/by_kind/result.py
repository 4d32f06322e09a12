"""Metrics and bootstrap replicates of one model on one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.evaluation.statistics.bootstrap import FEWEST_TRUSTED, Replicates, macro_interval
from ecgssl.evaluation.statistics.metrics import Array, Metric, support


@dataclass(frozen=True)
class Result:
    """Metrics of one model, and their bootstrap replicates for paired comparisons.

    Args:
        figures: JSON-compatible metrics ``{"macro": ..., "labels": {name: ...}}``; with ``confusion`` for multiclass.
        replicates: bootstrap replicates of all metrics for the kind of target.
    """

    figures: dict[str, Any]
    replicates: Replicates


def label_figures(
    found: Replicates, metrics: Sequence[Metric], names: Sequence[str], confidence: float
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each label as ``{label: {metric: {"value", "low", "high", "dropped"}}}``."""
    own = [metric.name for metric in metrics if metric.per_label]
    return {n: {m: found.estimate(m, k).plain(confidence) for m in own} for k, n in enumerate(names)}


def macro_figures(found: Replicates, metrics: Sequence[Metric], confidence: float) -> dict[str, dict[str, Any]]:
    """Return the metrics of the whole task as ``{metric: {"value", "low", "high", "dropped"}}``.

    ``dropped`` is the number of resamples in which the metric is undefined. For a mean over labels or classes, it counts
    the resamples in which at least one label is undefined, of the labels that are defined on all recordings.
    """
    means = {}
    for metric in (m for m in metrics if m.averaged):
        means[metric.name] = found.macro_estimate(metric.name).plain(confidence)
        if metric.per_label and "regression" not in metric.kinds:
            defined = ~np.isnan(found.point[metric.name])
            means[metric.name]["dropped"] = macro_interval(found, metric.name, defined, confidence).dropped
    return means


def class_counts(y: Array, patients: NDArray[np.int64]) -> dict[str, Any]:
    """Return the numbers of recordings and patients of a label, and a reason for which its metrics are not to be trusted.

    Args:
        y: targets (N,): 1, 0 or NaN (unknown).
        patients: number (N,) of the patient of each recording.

    Returns:
        ``records``, ``patients`` (both with a known target), ``positives`` (recordings), ``positive_patients`` and
        ``prevalence``; ``undefined`` with only one class; ``caution`` with fewer than ``FEWEST_TRUSTED`` patients who have
        positive, or negative, recordings.
    """
    counted = support(y)
    positive, negative = (len(np.unique(patients[y == value])) for value in (1, 0))
    entry: dict[str, Any] = {
        "records": counted.records,
        "patients": len(np.unique(patients[~np.isnan(y)])),
        "positives": counted.positives,
        "positive_patients": positive,
        "prevalence": counted.positives / counted.records if counted.records else None,
    }
    few = min(positive, negative)
    if counted.undefined:
        entry["undefined"] = counted.undefined
    elif few < FEWEST_TRUSTED:
        which = "positive" if positive == few else "negative"
        who = "patient has" if few == 1 else "patients have"
        entry["caution"] = (
            f"only {few} {who} {which} recordings; with fewer than {FEWEST_TRUSTED}, the interval of the AUROC is too narrow"
        )
    return entry


def support_figures(labels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ``{"labels", "undefined"}``: the number of labels whose metrics are all defined, and the reason for each
    other label.
    """
    undefined = {name: entry["undefined"] for name, entry in labels.items() if "undefined" in entry}
    return {"labels": len(labels) - len(undefined), "undefined": undefined}

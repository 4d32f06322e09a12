"""Metrics and bootstrap replicates of one model on one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgssl.evaluation.statistics.bootstrap import Replicates, macro_interval
from ecgssl.evaluation.statistics.metrics import Metric


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


def support_figures(labels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ``{"labels", "undefined"}``: the number of labels whose metrics are all defined, and the reason for each
    other label.
    """
    undefined = {name: entry["undefined"] for name, entry in labels.items() if "undefined" in entry}
    return {"labels": len(labels) - len(undefined), "undefined": undefined}

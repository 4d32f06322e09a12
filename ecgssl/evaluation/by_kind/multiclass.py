"""Evaluation of multiclass tasks: one-vs-rest metrics per class, and accuracy of the most probable class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result, class_counts, label_figures, macro_figures, support_figures
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import outputs_of, patients_of, probabilities_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import bootstrap, ratios
from ecgssl.evaluation.statistics.metrics import Array, metrics_of

_SMALLEST = 1e-15
"""Lower bound of the probabilities in the log loss, as in scikit-learn before version 1.2."""


def score_multiclass(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Evaluate one model on one split of a multiclass task.

    The arguments are those of ``score_multilabel``; ``names`` are the names of the classes. In addition to the metrics
    of the registry, ``macro`` contains the log loss before and after temperature scaling, and ``labels`` contains recall
    and precision of each class. ``confusion`` is the confusion matrix: counts of recordings by true class (row) and most
    probable class (column). Recordings with an unknown class are ignored.
    """
    part = part[part[f"target__{names[0]}"].notna()]
    y, patients = targets_of(part, names), patients_of(part)
    p = decision.probabilities(outputs_of(part, names, "multiclass"))
    metrics = metrics_of("multiclass")
    replicates = bootstrap(y, p, patients, params.bootstrap, seed, metrics)
    shares = ratios(_columns(y, probabilities_of(part, names), p, names), patients, params.bootstrap, seed)
    labels: dict[str, Any] = {}
    for k, (name, found) in enumerate(label_figures(replicates, metrics, names, params.confidence).items()):
        labels[name] = (
            class_counts(y[:, k], patients)
            | {
                "recall": shares[f"recall/{name}"].plain(params.confidence),
                "precision": shares[f"precision/{name}"].plain(params.confidence),
            }
            | found
        )
    means: dict[str, Any] = macro_figures(replicates, metrics, params.confidence)
    means["log_loss"] = {when: shares[f"log_loss/{when}"].plain(params.confidence) for when in ("before", "after")}
    means |= support_figures(labels)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (y.argmax(axis=1), p.argmax(axis=1)), 1)
    return Result({"macro": means, "labels": labels, "confusion": counts.tolist()}, replicates)


def measure_multiclass(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the metrics with ``in_subgroups`` and the recall of each class, for the recordings of a subgroup.

    See ``score_multilabel`` for the arguments.
    """
    labels = score_multiclass(part, names, decision, params, seed).figures["labels"]
    kept = [m.name for m in metrics_of("multiclass") if m.in_subgroups and m.per_label] + ["recall"]
    return {name: {key: found[key] for key in kept} for name, found in labels.items()}


def _columns(y: Array, raw: Array, p: Array, names: list[str]) -> dict[str, tuple[Array, Array]]:
    """Return numerators and denominators of accuracy, log loss, recall and precision, as input of ``ratios``."""
    everyone = np.ones(len(y))
    right = (y.argmax(axis=1) == p.argmax(axis=1)).astype(float)
    columns = {"accuracy": (right, everyone)}
    for when, q in (("before", raw), ("after", p)):
        of_truth = np.clip((q * y).sum(axis=1), _SMALLEST, 1.0)
        columns[f"log_loss/{when}"] = (-np.log(of_truth), everyone)
    for k, name in enumerate(names):
        called = (p.argmax(axis=1) == k).astype(float)
        columns[f"recall/{name}"] = (y[:, k] * called, y[:, k])
        columns[f"precision/{name}"] = (y[:, k] * called, called)
    return columns

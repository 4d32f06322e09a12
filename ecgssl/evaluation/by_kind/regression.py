"""Evaluation of regression tasks: errors in the unit of the target, R2, and limits of agreement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result, label_figures, macro_figures, support_figures
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import outputs_of, patients_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import bootstrap
from ecgssl.evaluation.statistics.metrics import Array, metrics_of


def score_regression(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Evaluate one model on one split of a regression task.

    The arguments are those of ``score_multilabel``; ``names`` are the names of the targets. ``labels`` contains the
    mean absolute error, the root mean squared error, R2, the bias (mean of predicted minus true value) and the limits
    of agreement (Bland & Altman 1986). ``macro`` contains the means of the errors and of R2 over the targets, which may
    have different units.
    """
    y, x = targets_of(part, names), decision.probabilities(outputs_of(part, names, "regression"))
    patients, metrics = patients_of(part), metrics_of("regression")
    replicates = bootstrap(y, x, patients, params.bootstrap, seed, metrics)
    labels: dict[str, Any] = {}
    for k, (name, found) in enumerate(label_figures(replicates, metrics, names, params.confidence).items()):
        known = ~np.isnan(y[:, k])
        counts = {
            "records": int(known.sum()),
            "patients": len(np.unique(patients[known])),
            "unknown": int((~known).sum()),
        }
        reason = _undefined(y[known, k])
        labels[name] = counts | found | ({"undefined": reason} if reason else {})
    means: dict[str, Any] = macro_figures(replicates, metrics, params.confidence) | support_figures(labels)
    return Result({"macro": means, "labels": labels}, replicates)


def measure_regression(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the metrics with ``in_subgroups`` of each target, for the recordings of a subgroup.

    See ``score_multilabel`` for the arguments.
    """
    labels = score_regression(part, names, decision, params, seed).figures["labels"]
    kept = [metric.name for metric in metrics_of("regression") if metric.in_subgroups]
    return {name: {key: found[key] for key in kept} for name, found in labels.items()}


def _undefined(y: Array) -> str:
    if not len(y):
        return "no record with a known target"
    return "" if np.ptp(y) > 0 else "the target is equal in all records, so R2 is undefined"

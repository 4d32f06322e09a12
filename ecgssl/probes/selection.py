"""Validation scores for model selection by kind of target. Higher scores are better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ecgssl.config.manifest import OutputKind
from ecgssl.evaluation.statistics.metrics import macro
from ecgssl.evaluation.statistics.ranking import area_under_roc

Array = NDArray[np.float64]


def macro_auroc(targets: Array, logits: Array) -> float:
    """Return the macro AUROC: the mean over the labels with both classes; NaN if there are none."""
    return float(macro([area_under_roc(targets[:, k], logits[:, k]) for k in range(targets.shape[1])]))


def macro_class_auroc(targets: Array, logits: Array) -> float:
    """Return the macro one-vs-rest AUROC of the softmax probabilities (see ``macro_auroc``)."""
    return macro_auroc(targets, softmax(logits, axis=1))


def mean_r2(targets: Array, values: Array) -> float:
    """Return the mean R2 over the targets with at least two distinct known values; NaN if there are none."""
    found = []
    for y, predicted in zip(targets.T, values.T, strict=True):
        known = ~np.isnan(y)
        if len(np.unique(y[known])) > 1:
            found.append(r2(y[known], predicted[known]))
    return float(np.mean(found)) if found else float("nan")


def r2(target: Array, value: Array) -> float:
    """Return the coefficient of determination R2: 1 - (sum of squared errors) / (total sum of squares)."""
    return float(1 - ((target - value) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def selection_score(kind: OutputKind) -> Callable[[Array, Array], float]:
    """Return the function that computes the selection score for a kind of target: macro AUROC or mean R2.

    Its arguments are targets (N, K) and outputs (N, K).
    """
    return {"multilabel": macro_auroc, "multiclass": macro_class_auroc, "regression": mean_r2}[kind]

"""Kinds of target: columns of prediction and score files, activation, and primary metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from scipy.special import expit, softmax

from ecgssl.config.manifest import OutputKind


@dataclass(frozen=True)
class TargetKind:
    """How the outputs of a model are stored and evaluated.

    Args:
        prediction_columns: columns per label of a prediction file; the first holds the output of the model.
        score_columns: columns per label of a score file, before and after calibration.
        primary: metric used to rank models.
        activation: function from logits (N, K) to probabilities; ``None`` if the outputs are numbers.
        compared_by: prediction column used to compare the AUROC of models; ``None`` if there is no AUROC.
    """

    prediction_columns: tuple[str, ...]
    score_columns: tuple[str, str]
    primary: str
    activation: Callable[[Any], Any] | None = None
    compared_by: str | None = None


TARGET_KINDS: dict[OutputKind, TargetKind] = {
    "multilabel": TargetKind(("logit", "prob"), ("logit", "prob"), "auroc", expit, "logit"),
    "multiclass": TargetKind(("logit", "prob"), ("logit", "prob"), "auroc", partial(softmax, axis=1), "prob"),
    "regression": TargetKind(("pred",), ("raw", "value"), "mae"),
}

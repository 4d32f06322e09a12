"""Kinds of target, with their columns in prediction and score files, activation function and primary metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ecgssl.config.manifest import OutputKind


@dataclass(frozen=True)
class TargetKind:
    """Properties of a kind of target: how model outputs are stored, activated and evaluated.

    Args:
        prediction_columns: output columns per label in a prediction file. The first contains the output of the model.
        score_columns: columns per label in a score file: values before and after calibration.
        primary: metric used to rank models.
        activation: function from logits (N, K) to probabilities; ``None`` for a regression.
        compared_by: prediction column used to compare the AUROC of models; ``None`` for a regression.
    """

    prediction_columns: tuple[str, ...]
    score_columns: tuple[str, str]
    primary: str
    activation: Callable[[Any], Any] | None = None
    compared_by: str | None = None


def _logistic(logits: Any) -> Any:
    # import here, because scipy takes a third of a second and most users of this module need only the names of columns
    from scipy.special import expit

    return expit(logits)


def _softmax(logits: Any) -> Any:
    from scipy.special import softmax

    return softmax(logits, axis=1)


TARGET_KINDS: dict[OutputKind, TargetKind] = {
    "multilabel": TargetKind(("logit", "prob"), ("logit", "prob"), "auroc", _logistic, "logit"),
    "multiclass": TargetKind(("logit", "prob"), ("logit", "prob"), "auroc", _softmax, "prob"),
    "regression": TargetKind(("pred",), ("raw", "value"), "mae"),
}

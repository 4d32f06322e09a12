"""Table of the kinds of target: columns of prediction and score files, activation and metric of each."""

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
        prediction_columns: columns of a prediction file per label; the first holds the output of the model.
        score_columns: columns of a score file per label, before and after calibration.
        primary: metric that models are ranked by.
        activation: (N, K) logits to probabilities; ``None`` if the outputs are numbers.
        compared_by: prediction column for the tests of AUROC between models; ``None`` if there is no AUROC.
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

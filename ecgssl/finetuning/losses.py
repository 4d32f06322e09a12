"""Losses of fine-tuning over known targets, by kind of target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config.finetune import ClassWeight
from ecgssl.model.classifier import Classifier

Objective = Callable[[Tensor, Tensor], Tensor]
"""(outputs (B, K), targets (B, K) with NaN for unknown) to a number to minimise."""


def masked_bce(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy over known cells, each weighted by its class.

    Args:
        logits: (B, K).
        targets: (B, K) of 1, 0 and NaN (unknown, left out).
        weight: (2, K) of the classes 0 and 1 of each label; all 1 by default.
    """
    known = ~torch.isnan(targets)
    y = torch.nan_to_num(targets)
    loss = F.binary_cross_entropy_with_logits(logits.float(), y, reduction="none") * known
    if weight is not None:
        loss = loss * torch.where(y > 0.5, weight[1], weight[0])
    return loss.sum() / known.sum().clamp_min(1)


def masked_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the cross-entropy over recordings with a known class, weighted by class.

    Args:
        logits: (B, C).
        targets: (B, C), 1 in the column of the class and 0 elsewhere; NaN throughout where unknown.
        weight: (C,); all 1 by default.
    """
    known = ~torch.isnan(targets).any(dim=1)
    y = torch.nan_to_num(targets)
    loss = -(y * F.log_softmax(logits.float(), dim=-1)).sum(dim=1) * known
    if weight is not None:
        loss = loss * (y * weight).sum(dim=1)
    return loss.sum() / known.sum().clamp_min(1)


def masked_squared_error(values: Tensor, targets: Tensor, spread: Tensor) -> Tensor:
    """Return the mean squared error over known cells, in units of ``spread``.

    Args:
        values: (B, K) in the targets' units.
        targets: (B, K) with NaN for unknown.
        spread: (K,) standard deviation of each target in train, so that targets of all units weigh the same.
    """
    known = ~torch.isnan(targets)
    error = torch.where(known, values.float() - torch.nan_to_num(targets), 0.0) / spread
    return error.square().sum() / known.sum().clamp_min(1)


def objective_of(model: Classifier, targets: NDArray[np.float64], class_weight: ClassWeight) -> Objective:
    """Return the loss for the kind of target of a model.

    Args:
        model: on its device.
        targets: (N, K) of the train recordings, for the class weights.
        class_weight: of labels and classes.
    """
    if model.kind == "regression":
        return lambda values, y: masked_squared_error(values, y, model.spread)
    loss, balanced = _CLASS_LOSSES[model.kind]
    weights = None
    if class_weight == "balanced":
        weights = torch.from_numpy(balanced(targets)).to(next(model.parameters()).device, torch.float32)
    return lambda logits, y: loss(logits, y, weights)


def balanced_weights(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, K): known cells of a label over twice those of the class (scikit-learn's ``balanced``)."""
    counts = np.stack([(targets == value).sum(axis=0) for value in (0, 1)])
    return np.asarray(counts.sum(axis=0) / (2 * np.maximum(counts, 1)))


def balanced_class_weights(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,): recordings of a known class over C times those of the class (scikit-learn's ``balanced``)."""
    counts = np.nansum(targets, axis=0)
    return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1)))


_CLASS_LOSSES = {
    "multilabel": (masked_bce, balanced_weights),
    "multiclass": (masked_cross_entropy, balanced_class_weights),
}


def sampling_chances(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) chance of being drawn, in proportion to how rare the rarest known cell of a recording is; they add up to 1."""
    rarity = np.zeros(len(targets))
    for cells in targets.T:
        for value in (0, 1):
            here = cells == value
            rarity[here] = np.maximum(rarity[here], 1 / max(int(here.sum()), 1))
    return rarity / rarity.sum()

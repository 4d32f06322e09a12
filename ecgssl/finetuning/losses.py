"""Losses for fine-tuning by kind of target. Unknown targets are ignored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config.finetune import ClassWeight
from ecgssl.config.manifest import OutputKind

Objective = Callable[[Tensor, Tensor], Tensor]
"""Loss function of outputs (B, K) and targets (B, K; NaN if unknown)."""


def masked_bce(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean class-weighted binary cross-entropy over the known targets; 0 if none is known.

    Args:
        logits: logits (B, K).
        targets: targets (B, K): 1, 0 or NaN (unknown; ignored).
        weight: weights (2, K) of the classes 0 and 1 of each label; all 1 by default.
    """
    known = ~torch.isnan(targets)
    y = torch.nan_to_num(targets)
    loss = F.binary_cross_entropy_with_logits(logits.float(), y, reduction="none") * known
    if weight is not None:
        loss = loss * torch.where(y > 0.5, weight[1], weight[0])
    return loss.sum() / known.sum().clamp_min(1)


def masked_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean class-weighted cross-entropy over the recordings with a known class; 0 if there are none.

    Args:
        logits: logits (B, C).
        targets: one-hot targets (B, C); all NaN if the class is unknown.
        weight: weights (C,) of the classes; all 1 by default.
    """
    known = ~torch.isnan(targets).any(dim=1)
    y = torch.nan_to_num(targets)
    loss = -(y * F.log_softmax(logits.float(), dim=-1)).sum(dim=1) * known
    if weight is not None:
        loss = loss * (y * weight).sum(dim=1)
    return loss.sum() / known.sum().clamp_min(1)


def masked_squared_error(values: Tensor, targets: Tensor, spread: Tensor) -> Tensor:
    """Return the mean squared error over the known targets, with errors divided by ``spread``; 0 if none is known.

    Args:
        values: predictions (B, K) in the units of the targets.
        targets: targets (B, K); NaN if unknown.
        spread: standard deviation (K,) of each target in the training split, so that the targets have equal weight.
    """
    known = ~torch.isnan(targets)
    error = torch.where(known, values.float() - torch.nan_to_num(targets), 0.0) / spread
    return error.square().sum() / known.sum().clamp_min(1)


def objective_of(
    kind: OutputKind, targets: NDArray[np.float64], class_weight: ClassWeight, spread: Tensor
) -> Objective:
    """Return the loss function for a kind of target.

    Args:
        kind: type of the outputs.
        targets: targets (N, K) of the training recordings, from which class weights are computed.
        class_weight: ``none`` or ``balanced``; ignored for a regression.
        spread: standard deviations (K,) of the targets of a regression. Its device is that of the outputs.
    """
    if kind == "regression":
        return lambda values, y: masked_squared_error(values, y, spread)
    loss, balanced = _CLASS_LOSSES[kind]
    weights = None
    if class_weight == "balanced":
        weights = torch.from_numpy(balanced(targets)).to(spread.device, torch.float32)
    return lambda logits, y: loss(logits, y, weights)


def balanced_weights(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (2, K) of the classes 0 and 1 of each label, as ``class_weight='balanced'`` in scikit-learn."""
    counts = np.stack([(targets == value).sum(axis=0) for value in (0, 1)])
    return np.asarray(counts.sum(axis=0) / (2 * np.maximum(counts, 1)))


def balanced_class_weights(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (C,) of the classes, as ``class_weight='balanced'`` in scikit-learn."""
    counts = np.nansum(targets, axis=0)
    return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1)))


_CLASS_LOSSES = {
    "multilabel": (masked_bce, balanced_weights),
    "multiclass": (masked_cross_entropy, balanced_class_weights),
}


def sampling_chances(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sampling probabilities (N,) for class-balanced sampling; they sum to 1.

    The probability of a recording is inversely proportional to the number of recordings that share the rarest of its
    known target values (0 or 1 of a label). It is 0 if the recording has no known target.
    """
    rarity = np.zeros(len(targets))
    for cells in targets.T:
        for value in (0, 1):
            here = cells == value
            rarity[here] = np.maximum(rarity[here], 1 / max(int(here.sum()), 1))
    return rarity / rarity.sum()

"""Linear probe for binary targets by ridge regression, with outputs that are logits.

The outputs of ``fit_ridge_classifier`` order the recordings and are about 0 to 1. ``correct_ridge`` can change their order.
Platt's line (Platt 1999) then maps the outputs of each target to logits. The line is part of the coefficients, so the probe is
used like a logistic regression: its outputs can be calibrated, and fine-tuning can start from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.config import LinearParams
from ecgssl.evaluation.calibration.calibrators import platt_line
from ecgssl.probes.binary import MIN_VALIDATION, Probe
from ecgssl.probes.logistic_correction import correct_ridge
from ecgssl.probes.logistic_solver import Array
from ecgssl.probes.ridge_classifier import fit_ridge_classifier


def fit_ridge_logits(
    embeddings: ArrayLike,
    targets: ArrayLike,
    val_embeddings: ArrayLike,
    val_targets: ArrayLike,
    params: LinearParams,
    *,
    names: Sequence[str],
    groups: ArrayLike,
    seed: int = 0,
) -> Probe:
    """Fit a ridge classifier, correct it (``correct_ridge``) if there are candidates, and map its outputs to logits.

    The line of a target is fitted on validation if it has at least ten positive and ten negative recordings there and the
    outputs increase with the target. Otherwise it is fitted on the training recordings, where the outputs are too extreme.

    Args:
        embeddings: embeddings (N, E) of the training split.
        targets: targets (N, K): 1, 0 or NaN (unknown; ignored).
        val_embeddings, val_targets: embeddings and targets of the validation split; may have no rows.
        params: lower limit of the scale of a feature, and candidates for the correction.
        groups, seed: not used. They are arguments of each linear probe.
        names: names of the K targets.

    Raises:
        InputError, ValueError: see ``fit_ridge_classifier``.
    """
    train, val = np.asarray(embeddings), np.asarray(val_embeddings)
    y, vy = np.asarray(targets, dtype=np.float64), np.asarray(val_targets, dtype=np.float64)
    rows = np.arange(len(train)), np.arange(len(train), len(train) + len(val))
    both, truth = np.concatenate([train, val]), np.concatenate([y, vy])
    ridge = fit_ridge_classifier(both, truth, *rows, names=names, floor=params.scale_floor)
    probe = correct_ridge(ridge, both, truth, *rows, params.corrections) if params.corrections else ridge
    outputs, val_outputs = probe.logits(train), probe.logits(val)
    lines = [_line(val_outputs[:, k], vy[:, k], outputs[:, k], y[:, k]) for k in range(len(names))]
    slope, intercept = (np.array(column) for column in zip(*lines, strict=True))
    return replace(probe, weight=probe.weight * slope[:, None], bias=probe.bias * slope + intercept)


def _line(val_outputs: Array, val_targets: Array, outputs: Array, targets: Array) -> tuple[float, float]:
    if min((val_targets == 1).sum(), (val_targets == 0).sum()) >= MIN_VALIDATION:
        slope, intercept = platt_line(val_outputs, val_targets)
        if slope > 0:
            return slope, intercept
    return platt_line(outputs, targets)

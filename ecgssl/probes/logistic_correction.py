"""Correction of a ridge classifier by logistic regression with a penalty on the distance from the ridge solution.

Least squares also penalise outputs above 1 and below 0, which do not make the order of the recordings worse; the logistic loss
does not. With thousands of features it needs a penalty, which here pulls the coefficients to the ridge solution:

    sum of log losses + ratio / (2 C) |w - w0|^2

with the coefficients w0 of the ridge classifier on the scale of logits (Platt's line on the training recordings) and the C of
the ridge classifier. Regularisation towards given coefficients is that of Li, Grandvalet and Davoine 2018 (L2-SP,
arXiv 1802.01483).

The problem is convex, but L-BFGS usually stops at its limit of steps before the minimum, in particular for a small ratio. The
limit therefore regularises too, and the result for a ratio depends on the ratios before it and, because all targets are
fitted together, on the other targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ecgssl.evaluation.calibration.calibrators import platt_line
from ecgssl.probes.binary import Probe
from ecgssl.probes.logistic_solver import Array
from ecgssl.probes.selection import macro_auroc

STEPS = 30
"""Largest number of steps of L-BFGS for one ratio."""
TOLERANCE = 1e-6
"""Relative decrease of the objective in one step at which L-BFGS ends earlier."""
_BLOCK = 2048
Rows = NDArray[np.int64]


def correct_ridge(
    probe: Probe, features: NDArray[np.floating], targets: Array, train: Rows, val: Rows, ratios: Sequence[float]
) -> Probe:
    """Return the probe with outputs on the scale of logits, corrected with the ratio that validation prefers.

    The ratios are tried from the largest to the smallest, each from the solution of the one before, until the macro AUROC on
    validation no longer rises. The ridge solution is kept if no ratio has a higher one, or if it is undefined. A single target
    may have a lower AUROC than before, because the ratio is chosen for all targets together.

    Args:
        probe: result of ``fit_ridge_classifier`` on these training recordings.
        features: features (N, E) of all recordings; may be a memory-mapped array.
        targets: targets (N, K): 1, 0 or NaN (unknown; ignored).
        train, val: row numbers of the training and validation recordings.
        ratios: candidates for the penalty, relative to that of the ridge classifier.
    """
    y, held = targets[train], targets[val]
    start = _on_logit_scale(probe, _outputs(probe, features, train), y)
    best, reached = start, macro_auroc(held, _outputs(start, features, val))
    if np.isnan(reached):
        return start
    weight, bias = start.weight, start.bias
    for ratio in sorted(set(ratios), reverse=True):
        penalty = ratio / np.asarray(probe.C)
        weight, bias = _minimise(probe, features, train, y, start.weight, penalty, weight, bias)
        here = replace(start, weight=weight, bias=bias, correction=ratio)
        score = macro_auroc(held, _outputs(here, features, val))
        if not round(score, 9) > round(reached, 9):
            break
        best, reached = here, score
    return best


def _on_logit_scale(probe: Probe, outputs: Array, y: Array) -> Probe:
    lines = [platt_line(outputs[known, k], y[known, k]) for k, known in enumerate((~np.isnan(y)).T)]
    slope, intercept = (np.array(column) for column in zip(*lines, strict=True))
    return replace(probe, weight=probe.weight * slope[:, None], bias=probe.bias * slope + intercept)


def _outputs(probe: Probe, features: NDArray[np.floating], rows: Rows) -> Array:
    parts = [probe.logits(features[rows[n : n + _BLOCK]]) for n in range(0, len(rows), _BLOCK)]
    return np.concatenate(parts) if parts else np.empty((0, len(probe.names)))


def _minimise(
    probe: Probe, features: NDArray[np.floating], rows: Rows, y: Array, origin: Array, penalty: Array, weight: Array,
    bias: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the coefficients (K, E) and intercepts (K,) after at most ``STEPS`` steps of L-BFGS from a start.

    Products are computed in float32, and sums in float64.
    """
    known, positive = ~np.isnan(y), y == 1
    mean, scale = probe.mean.astype(np.result_type(features, np.float32)), probe.scale.astype(np.float32)

    def objective(point: Array) -> tuple[float, Array]:
        w, b = point[: weight.size].reshape(weight.shape), point[weight.size :]
        single, loss = w.T.astype(np.float32), 0.0
        slope, level = np.zeros(single.shape), np.zeros(len(b))
        for n in range(0, len(rows), _BLOCK):
            part = slice(n, n + _BLOCK)
            block = (features[rows[part]] - mean).astype(np.float32, copy=False)
            block /= scale
            margin = (block @ single).astype(np.float64) + b
            loss += float(np.where(known[part], np.logaddexp(0, margin) - positive[part] * margin, 0).sum())
            error = np.where(known[part], expit(margin) - positive[part], 0)
            slope += block.T @ error.astype(np.float32)
            level += error.sum(axis=0)
        away = w - origin
        loss += float((penalty / 2 * (away**2).sum(axis=1)).sum())
        return loss, np.concatenate([(slope.T + penalty[:, None] * away).ravel(), level])

    options = {"maxiter": STEPS, "ftol": TOLERANCE, "maxcor": 10}
    found = minimize(objective, np.concatenate([weight.ravel(), bias]), jac=True, method="L-BFGS-B", options=options).x
    return found[: weight.size].reshape(weight.shape), found[weight.size :]

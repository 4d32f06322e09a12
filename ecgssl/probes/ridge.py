"""Linear probe for regression targets: ridge regression (Hoerl & Kennard 1970) on standardised embeddings.

The penalty is chosen per target. If the validation split has at least twenty known values that are not all equal, the
criterion is R2 on validation. Otherwise it is the mean squared error of a patient-grouped cross-validation on the
training split (five folds, or as many as there are patients with a known value). With only one such patient, the smallest
C is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config import LinearParams
from ecgssl.errors import InputError, Problem
from ecgssl.probes.binary import (
    FOLDS,
    MIN_VALIDATION,
    ChosenBy,
    Probe,
    require_finite,
    shortage_problems,
    standardisation,
)
from ecgssl.probes.logistic_solver import Array, principal_axes
from ecgssl.probes.selection import r2


def fit_ridge_probe(
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
    """Fit a ridge regression per target and select C.

    Args:
        embeddings: embeddings (N, E) of the training split.
        targets: target values (N, K) in the unit of each target; NaN where unknown (ignored).
        val_embeddings, val_targets: embeddings and targets of the validation split; may have no rows.
        params: candidates for C, which is 1 / alpha of scikit-learn for standardised targets.
        names: names of the K targets.
        groups: patient of each training recording, (N,).
        seed: seed of the cross-validation folds.

    Raises:
        InputError: a target has no known value or is constant in the training split, a training target is infinite, or an
            embedding is not finite. The error lists all problems.
    """
    x, y = np.asarray(embeddings, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    vx, vy = np.asarray(val_embeddings, dtype=np.float64), np.asarray(val_targets, dtype=np.float64)
    patients = np.unique(np.asarray(groups), return_inverse=True)[1]
    problems = require_finite(x, "train") + require_finite(vx, "val")
    infinite = [name for name, cells in zip(names, y.T, strict=True) if np.isinf(cells).any()]
    problems += [
        Problem("train targets", name, "has infinite values", "Correct or clear these cells") for name in infinite
    ]
    problems += shortage_problems("regression", names, y, patients)
    if problems:
        raise InputError(problems)
    mean, scale = standardisation(x, params.scale_floor)
    standard, val_standard = (x - mean) / scale, (vx - mean) / scale
    grid = sorted(set(params.C))
    offset, spread = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    weight, bias = np.empty((len(names), x.shape[1])), np.empty(len(names))
    chosen, rules = list[float](), list[ChosenBy]()
    for k in range(len(names)):
        known, vknown = ~np.isnan(y[:, k]), ~np.isnan(vy[:, k])
        z, t = standard[known], (y[known, k] - offset[k]) / spread[k]
        truth = (vy[vknown, k] - offset[k]) / spread[k]
        fits = _path(z, t, grid)
        losses = np.arange(len(grid), dtype=float)
        rule: ChosenBy = "strongest_regularisation"
        if len(grid) == 1:
            rule = "only_candidate"
        elif len(truth) >= 2 * MIN_VALIDATION and len(np.unique(truth)) > 1:
            losses = -np.array([r2(truth, val_standard[vknown] @ w + b) for w, b in fits])
            rule = "validation_r2"
        else:
            folds = list(_folds(patients[known], seed))
            if len(folds) > 1:
                losses = np.mean([_errors(z, t, held, grid) for held in folds], axis=0)
                rule = "cross_validation_squared_error"
        best = int(np.argmin(np.round(losses, 9)))
        weight[k], bias[k] = fits[best]
        chosen.append(grid[best])
        rules.append(rule)
    return Probe(
        tuple(names), mean, scale, weight, bias, tuple(chosen), ("none",) * len(names), tuple(rules),
        "regression", offset, spread,
    )  # fmt: skip


def _path(x: Array, y: Array, grid: Sequence[float]) -> list[tuple[Array, float]]:
    """Return the coefficients w (E,) and the intercept b that minimise ``|y - x w - b|^2 + |w|^2 / C``, for each C."""
    centre, level = x.mean(axis=0), float(y.mean())
    basis = principal_axes(x - centre)
    along = basis.scores.T @ (y - level)
    weights = [basis.axes @ (along / (basis.spread + 1 / C)) for C in grid]
    return [(w, level - float(centre @ w)) for w in weights]


def _errors(x: Array, y: Array, held: NDArray[np.bool_], grid: Sequence[float]) -> Array:
    return np.array([np.mean((y[held] - x[held] @ w - b) ** 2) for w, b in _path(x[~held], y[~held], grid)])


def _folds(patients: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask of the held-out recordings of each fold. Patients are assigned to folds at random."""
    unique, place = np.unique(patients, return_inverse=True)
    folds = min(FOLDS, len(unique))
    fold_of = np.random.default_rng(seed).permutation(len(unique)) % folds
    for fold in range(folds):
        yield fold_of[place] == fold

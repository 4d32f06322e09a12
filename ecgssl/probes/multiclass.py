"""Linear probe for multiclass targets: multinomial logistic regression on standardised embeddings of a frozen encoder.

C and class weight are chosen for all classes together. If the validation split has at least ten recordings of every
class, the criterion is the macro one-vs-rest AUROC on validation. Otherwise it is the mean log loss of a patient-grouped,
class-stratified cross-validation on the training split. If there are too few patients for cross-validation, the smallest
C is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config import LinearParams
from ecgssl.errors import InputError
from ecgssl.probes.binary import (
    FOLDS,
    MIN_VALIDATION,
    ChosenBy,
    Grid,
    Probe,
    require_finite,
    shortage_problems,
    standardisation,
)
from ecgssl.probes.logistic_solver import Array, PrincipalAxes, principal_axes
from ecgssl.probes.selection import macro_class_auroc
from ecgssl.probes.softmax_solver import solve_multinomial


def fit_class_probe(
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
    """Fit a multinomial logistic regression and select C and class weight.

    Args:
        embeddings: embeddings (N, E) of the training split.
        targets: one-hot targets (N, K); all NaN if the class is unknown.
        val_embeddings, val_targets: embeddings and targets of the validation split; may have no rows.
        params: candidates for C and class weight.
        names: names of the K classes.
        groups: patient of each training recording, (N,).
        seed: seed of the cross-validation folds.

    Raises:
        InputError: a class does not occur in the training split, or embeddings are not finite. The error lists all
            problems.
    """
    x, y = np.asarray(embeddings, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    vx, vy = np.asarray(val_embeddings, dtype=np.float64), np.asarray(val_targets, dtype=np.float64)
    patients = np.asarray(groups)
    problems = require_finite(x, "train") + require_finite(vx, "val")
    problems += shortage_problems("multiclass", names, y, patients)
    if problems:
        raise InputError(problems)
    train, val = ~np.isnan(y[:, 0]), ~np.isnan(vy[:, 0])
    mean, scale = standardisation(x, params.scale_floor)
    basis = principal_axes((x[train] - mean) / scale)
    y, patients = y[train], patients[train]
    grid: Grid = [(C, w) for C in sorted(set(params.C)) for w in sorted(set(params.class_weight), reverse=True)]
    fits = _path(basis, y, np.ones(len(y)), grid)
    losses = np.arange(len(grid), dtype=float)
    rule: ChosenBy = "strongest_regularisation"
    if len(grid) == 1:
        rule = "only_candidate"
    elif (vy[val] == 1).sum(axis=0).min(initial=len(vy)) >= MIN_VALIDATION:
        scores = ((vx[val] - mean) / scale) @ basis.axes
        losses = -np.array([macro_class_auroc(vy[val], scores @ u + b) for u, b in fits])
        rule = "validation_auroc"
    elif (found := _cross_validate(basis, y, patients, grid, seed)) is not None:
        losses, rule = found, "cross_validation_log_loss"
    best = int(np.argmin(np.round(losses, 9)))
    u, b = fits[best]
    C, class_weight = grid[best]
    count = len(names)
    return Probe(
        tuple(names), mean, scale, np.ascontiguousarray((basis.axes @ u).T), b,
        (C,) * count, (class_weight,) * count, (rule,) * count, "multiclass",
    )  # fmt: skip


def _path(basis: PrincipalAxes, y: Array, use: Array, grid: Grid) -> list[tuple[Array, Array]]:
    """Return coefficients and intercepts for each candidate in the grid.

    Each fit starts from the solution for the previous C with the same class weight.
    """
    counts = (use[:, None] * y).sum(axis=0)
    balanced = use * (y @ (use.sum() / (len(counts) * np.maximum(counts, 1))))
    last: dict[str, tuple[Array, Array]] = {}
    fits = []
    for C, class_weight in grid:
        weights = balanced if class_weight == "balanced" else use
        last[class_weight] = solve_multinomial(basis, y, weights, 1 / C, last.get(class_weight))
        fits.append(last[class_weight])
    return fits


def _cross_validate(basis: PrincipalAxes, y: Array, patients: NDArray[np.int64], grid: Grid, seed: int) -> Array | None:
    """Return the mean log loss on the held-out folds for each candidate.

    Return ``None`` if a class has only one patient, or fewer than two folds have every class in their training part.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    code = y.argmax(axis=1)
    folds = min(FOLDS, *(len(np.unique(patients[code == c])) for c in range(y.shape[1])))
    if folds < 2:
        return None
    losses = []
    for kept, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(code, code, patients):
        use = np.zeros(len(y))
        use[kept] = 1
        if len(np.unique(code[kept])) < y.shape[1]:
            continue
        margins = [basis.scores[held] @ u + b for u, b in _path(basis, y, use, grid)]
        losses.append([np.mean(np.logaddexp.reduce(m, axis=1) - m[np.arange(len(held)), code[held]]) for m in margins])
    return np.mean(losses, axis=0) if len(losses) > 1 else None

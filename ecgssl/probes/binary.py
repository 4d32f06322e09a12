"""Linear probe for binary targets: one logistic regression per label on standardised embeddings of a frozen encoder.

The modules ``multiclass`` and ``ridge`` contain the probes for other kinds of target. C and class weight are chosen per
label by the first of these rules that applies:

1. If the validation split has at least ten positive and ten negative recordings of the label, the validation AUROC is
   maximised.
2. If at least two cross-validation folds can be used, the mean log loss of a patient-grouped, label-stratified
   cross-validation on the training split is minimised (five folds, or as many as the rarer class has patients). A fold
   can be used if its training part contains both classes.
3. Otherwise the candidate with the smallest C is used, without class weight if this is a candidate.

Of equally good candidates, the one with the smaller C, and then the one without class weight, is used. The probe is
fitted on the training split only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config import LinearParams
from ecgssl.config.manifest import OutputKind
from ecgssl.datasets.enough_data import FIT, shortages
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.statistics.ranking import area_under_roc
from ecgssl.probes.logistic_solver import Array, PrincipalAxes, principal_axes, solve

MIN_VALIDATION = 10
FOLDS = 5
_COLUMNS = 64
"""Maximum number of regressions that are solved at the same time. Larger blocks need more memory and are not faster."""

Grid = list[tuple[float, Literal["none", "balanced"]]]
T = TypeVar("T")
ChosenBy = Literal[
    "validation_auroc",
    "validation_r2",
    "cross_validation_log_loss",
    "cross_validation_squared_error",
    "strongest_regularisation",
    "only_candidate",
]


@dataclass(frozen=True)
class Probe:
    """Fitted linear probe. All arrays are float64.

    Args:
        names: names of the K labels, classes or regression targets.
        mean, scale: mean and standard deviation (E,) of the training embeddings (``limited_scale``).
        weight: coefficients (K, E) for standardised embeddings.
        bias: intercepts (K,).
        C: chosen inverse regularisation strength per label, as in scikit-learn.
        class_weight: chosen class weight per label, ``none`` or ``balanced``.
        chosen_by: rule by which C and class weight were chosen, per label.
        kind: kind of the targets.
        offset, spread: mean and standard deviation (K,) of the training targets of a regression. Weight and bias
            predict standardised targets. ``None`` for other kinds.
        correction: chosen ratio of the penalty of a corrected ridge classifier (``correct_ridge``); ``None`` without one.
    """

    names: tuple[str, ...]
    mean: Array
    scale: Array
    weight: Array
    bias: Array
    C: tuple[float, ...]
    class_weight: tuple[str, ...]
    chosen_by: tuple[ChosenBy, ...]
    kind: OutputKind = "multilabel"
    offset: Array | None = None
    spread: Array | None = None
    correction: float | None = None

    def logits(self, embeddings: ArrayLike) -> Array:
        """Return logits (N, K) of embeddings (N, E). For a regression, return predictions in the unit of the target."""
        standard = (np.asarray(embeddings, dtype=np.float64) - self.mean) / self.scale
        out = np.asarray(standard @ self.weight.T + self.bias)
        return out if self.spread is None or self.offset is None else out * self.spread + self.offset


def fit_probe(
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
    """Fit a linear probe for binary targets. The module docstring describes the selection of C and class weight.

    Args:
        embeddings: embeddings (N, E) of the training split.
        targets: targets (N, K): 1, 0 or NaN (unknown; ignored).
        val_embeddings, val_targets: embeddings and targets of the validation split; may have no rows.
        params: candidates for C and class weight.
        names: names of the K labels.
        groups: patient of each training recording, (N,).
        seed: seed of the cross-validation folds.

    Raises:
        InputError: a label has only one class in the training split, embeddings are not finite, or targets have values
            other than 0, 1 and NaN. The error lists all problems.
        ValueError: the arrays and names have inconsistent lengths.
    """
    x, y = np.asarray(embeddings, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    vx, vy = np.asarray(val_embeddings, dtype=np.float64), np.asarray(val_targets, dtype=np.float64)
    patients = np.unique(np.asarray(groups), return_inverse=True)[1]
    if not (len(x) == len(y) == len(patients) and len(vx) == len(vy) and y.shape[1] == vy.shape[1] == len(names)):
        raise ValueError("embeddings, targets, groups and names have inconsistent lengths")
    _check(x, y, vx, vy, patients, names)
    mean, scale = standardisation(x, params.scale_floor)
    basis = principal_axes((x - mean) / scale)
    val_scores = ((vx - mean) / scale) @ basis.axes
    grid = [(C, cw) for C in sorted(set(params.C)) for cw in sorted(set(params.class_weight), reverse=True)]

    selectable = [min((v == 1).sum(), (v == 0).sum()) >= MIN_VALIDATION for v in vy.T]
    unsure = [k for k in range(len(names)) if not selectable[k]] if len(grid) > 1 else []
    cross_validated = _cross_validate(basis, y, unsure, patients, grid, seed)

    u, bias = np.empty((basis.axes.shape[1], len(names))), np.empty(len(names))
    chosen, rules = Grid(), list[ChosenBy]()
    for block in _blocks(list(range(len(names))), _COLUMNS // len(set(params.class_weight))):
        fits = list(_path(basis, y[:, block], ~np.isnan(y[:, block]), grid))
        for j, k in enumerate(block):
            losses = np.arange(len(grid), dtype=float)
            rule: ChosenBy = "strongest_regularisation"
            if len(grid) == 1:
                rule = "only_candidate"
            elif selectable[k]:
                aurocs = [area_under_roc(vy[:, k], val_scores @ f[0][:, j] + f[1][j]) for f in fits]
                losses, rule = -np.array(aurocs), "validation_auroc"
            elif k in cross_validated:
                losses, rule = cross_validated[k], "cross_validation_log_loss"
            # round the losses, because their last digits depend on the BLAS library
            best = int(np.argmin(np.round(losses, 9)))
            u[:, k], bias[k] = fits[best][0][:, j], fits[best][1][j]
            chosen.append(grid[best])
            rules.append(rule)
    return Probe(
        tuple(names),
        mean,
        scale,
        np.ascontiguousarray((basis.axes @ u).T),
        bias,
        tuple(c for c, _ in chosen),
        tuple(w for _, w in chosen),
        tuple(rules),
    )


def standardisation(x: Array, floor: float) -> tuple[Array, Array]:
    """Return mean and scale (E,) of embeddings (N, E); see ``limited_scale``."""
    mean = x.mean(0)
    return mean, limited_scale(mean, x.std(0), floor)


def limited_scale(mean: Array, deviation: Array, floor: float) -> Array:
    """Return the scale (E,) of features with these means and standard deviations; the scale of a constant feature is 1.

    The scale is the standard deviation, but at least ``floor`` times the median over the features that vary.
    """
    varies = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    least = floor * np.median(deviation[varies]) if varies.any() else 0.0
    return np.where(varies, np.maximum(deviation, least), 1.0)


def require_finite(x: Array, split: str) -> list[Problem]:
    """Return a list with one problem if embeddings contain values that are not finite; otherwise an empty list."""
    bad = int((~np.isfinite(x)).any(axis=1).sum())
    return [Problem(f"{split} embeddings", "values", f"{bad} rows are not finite", "Check the encoder")] if bad else []


def require_binary(y: Array, names: Sequence[str], split: str) -> list[Problem]:
    """Return a problem for each target (column of y) with values other than 0, 1 and NaN (unknown)."""
    other = [name for k, name in enumerate(names) if (~np.isnan(y[:, k]) & ~np.isin(y[:, k], (0, 1))).any()]
    what, remedy = "has values other than 0 and 1", "Use 1, 0 or an empty cell (unknown)"
    return [Problem(f"{split} targets", name, what, remedy) for name in other]


def shortage_problems(kind: OutputKind, names: Sequence[str], targets: Array, patients: ArrayLike) -> list[Problem]:
    """Return a problem for each target that is constant or unknown, or class that does not occur, in the training split."""
    remedy = "Remove it from the task, or add recordings"
    found = shortages(kind, names, targets, patients, FIT)
    return [Problem("train targets", name, what.rstrip(","), remedy) for name, what in found]


def _blocks(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _path(basis: PrincipalAxes, y: Array, use: NDArray[np.bool_], grid: Grid) -> Iterator[tuple[Array, Array]]:
    """Yield coefficients (R, K) for the principal axes and intercepts (K,), for each candidate in the grid.

    The solution for one value of C is the starting point for the next value.
    """
    kinds = [cw for C, cw in grid if grid[0][0] == C]
    labels = y.shape[1]
    known = np.where(use, np.nan_to_num(y), 0.0)
    total, positives = use.sum(0), known.sum(0)
    balanced = np.where(
        known > 0, total / (2 * np.maximum(positives, 1)), total / (2 * np.maximum(total - positives, 1))
    )
    weights = np.hstack([use * (balanced if cw == "balanced" else 1.0) for cw in kinds])
    tiled = np.tile(known, len(kinds))
    start = None
    for C in sorted({C for C, _ in grid}):
        start = solve(basis, tiled, weights, 1 / C, start)
        for k in range(len(kinds)):
            part = slice(k * labels, (k + 1) * labels)
            yield start[0][:, part], start[1][part]


def _cross_validate(
    basis: PrincipalAxes, y: Array, labels: list[int], patients: NDArray[np.int64], grid: Grid, seed: int
) -> dict[int, Array]:
    """Return the mean log loss on the held-out folds for each candidate, by index of the label.

    Labels for which ``_folds`` yields fewer than two folds are omitted.
    """
    folds = {k: list(_folds(y[:, k], patients, seed)) for k in labels}
    pairs = [(k, held) for k, masks in folds.items() if len(masks) > 1 for held in masks]
    losses: dict[int, list[Array]] = {}
    for block in _blocks(pairs, _COLUMNS // 2):
        truth = y[:, [k for k, _ in block]]
        held = np.stack([mask for _, mask in block], axis=1)
        known = ~np.isnan(truth)
        test, truth0 = known & held, np.nan_to_num(truth)
        found = np.empty((len(grid), len(block)))
        for row, (u, b) in enumerate(_path(basis, truth, known & ~held, grid)):
            margin = basis.scores @ u + b
            found[row] = np.where(test, np.logaddexp(0, margin) - truth0 * margin, 0.0).sum(0) / test.sum(0)
        for column, (k, _) in enumerate(block):
            losses.setdefault(k, []).append(found[:, column])
    return {k: np.stack(v).mean(axis=0) for k, v in losses.items()}


def _folds(y: Array, patients: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask (N,) of the held-out recordings of each fold.

    Patients are assigned to folds at random. Patients with a positive recording are assigned first, so that they are
    evenly distributed. Folds whose remaining recordings have only one class are skipped.
    """
    known = ~np.isnan(y)
    positive = np.unique(patients[known & (y == 1)])
    other = np.setdiff1d(np.unique(patients[known]), positive)
    folds = min(FOLDS, len(positive), len(np.unique(patients[known & (y == 0)])))
    if folds < 2:
        return
    rng = np.random.default_rng(seed)
    dealt = np.concatenate([rng.permutation(positive), rng.permutation(other)])
    fold_of = np.full(int(patients.max()) + 1, -1)
    fold_of[dealt] = np.arange(len(dealt)) % folds
    for fold in range(folds):
        held = fold_of[patients] == fold
        kept = y[known & ~held]
        if (known & held).any() and 0 < kept.sum() < len(kept):
            yield held


def _check(x: Array, y: Array, vx: Array, vy: Array, patients: NDArray[np.int64], names: Sequence[str]) -> None:
    problems = require_finite(x, "train") + require_finite(vx, "val")
    problems += require_binary(y, names, "train") + require_binary(vy, names, "val")
    problems += shortage_problems("multilabel", names, y, patients)
    if problems:
        raise InputError(problems)

"""Ridge classifier for many binary targets: least squares on standardised features, one strength for all targets.

The outputs order recordings by risk. They are no logits of a logistic regression and must be calibrated before they are
used as probabilities. The classifier is meant for many features and targets: the features can be memory-mapped and are
read in blocks; the matrix of inner products is computed once for all strengths and targets. Each strength costs one
Cholesky factorisation. On one core, ten factorisations take less time than one eigendecomposition of the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyr, dsyrk

from ecgssl.errors import InputError, Problem
from ecgssl.probes.binary import ChosenBy, Probe, limited_scale, require_binary, require_finite, shortage_problems
from ecgssl.probes.logistic_solver import Array
from ecgssl.probes.selection import macro_auroc

STRENGTHS = tuple(float(10 ** (k / 2)) for k in range(-2, 8))
"""Candidates for the penalty of a squared coefficient, divided by the number of features."""
_BLOCK = 2048
"""Number of recordings that are read and standardised at the same time."""
Rows = NDArray[np.int64]


def fit_ridge_classifier(
    features: ArrayLike,
    targets: ArrayLike,
    train: ArrayLike,
    val: ArrayLike,
    *,
    names: Sequence[str],
    strengths: Sequence[float] = STRENGTHS,
    floor: float = 0.0,
) -> Probe:
    """Fit a ridge regression of binary targets, and choose the strength with the best macro AUROC on validation.

    Minimises ``|y - z w - b|^2 + strength * E * |w|^2`` for each target over the training recordings with a known value.
    The same strength is used for all targets. Targets with equal known recordings share one matrix of inner products.
    With fewer training recordings than features, the dual problem is solved.

    Args:
        features: features (N, E) of all recordings; may be a memory-mapped array.
        targets: targets (N, K): 1, 0 or NaN (unknown; ignored).
        train, val: row numbers of the training and validation recordings.
        names: names of the K targets.
        strengths: candidates for the penalty divided by E. Without a defined validation AUROC, the largest is used.
        floor: lower limit of the scale of a feature, as a fraction of the median (``binary.limited_scale``).

    Returns:
        Probe whose ``C`` is 1 / (strength * E).

    Raises:
        InputError: a target has only one class in the training split, features are not finite, or targets have values
            other than 0, 1 and NaN. The error lists all problems.
        ValueError: the arrays and names have inconsistent lengths, or a strength is not positive.
    """
    x, y = features if isinstance(features, np.ndarray) else np.asarray(features), np.asarray(targets, dtype=np.float64)
    rows, held = np.asarray(train, dtype=np.int64), np.asarray(val, dtype=np.int64)
    grid = sorted(set(strengths), reverse=True)
    if len(x) != len(y) or y.shape[1] != len(names):
        raise ValueError("features, targets and names have inconsistent lengths")
    if not grid or grid[-1] <= 0:
        raise ValueError(f"strengths {list(strengths)} must be positive")
    mean, scale, problems = _moments(x, rows, floor=floor)
    problems += _moments(x, held, "val")[2]
    problems += require_binary(y[rows], names, "train") + require_binary(y[held], names, "val")
    problems += shortage_problems("multilabel", names, y[rows], rows)
    if problems:
        raise InputError(problems)
    standard = _Standard(x, mean, scale)
    paths = np.empty((len(grid), len(names), x.shape[1]))
    bias = np.empty((len(grid), len(names)))
    known = ~np.isnan(y[rows])
    patterns, group = np.unique(known, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        columns = np.flatnonzero(group.ravel() == number)
        some = rows[patterns[:, number]]
        paths[:, columns], bias[:, columns] = _path(standard, some, y[np.ix_(some, columns)], grid)
    reached = np.array([macro_auroc(y[held], standard.outputs(held, w, b)) for w, b in zip(paths, bias, strict=True)])
    rule: ChosenBy = "only_candidate" if len(grid) == 1 else "validation_auroc"
    best = 0
    if len(grid) > 1 and np.isnan(reached).all():
        rule = "strongest_regularisation"
    elif len(grid) > 1:
        # round, because the last digits depend on the BLAS library; of equal values, the largest strength is used
        best = int(np.argmax(np.round(reached, 9)))
    C = 1 / (grid[best] * x.shape[1])
    count = len(names)
    return Probe(
        tuple(names), mean, scale, paths[best], bias[best], (C,) * count, ("none",) * count, (rule,) * count
    )  # fmt: skip


@dataclass(frozen=True)
class _Standard:
    """Features standardised on the training split, read in blocks."""

    features: NDArray[np.floating]
    mean: Array
    scale: Array

    def blocks(self, rows: Rows) -> Iterator[tuple[slice, Array]]:
        for part, block in _blocks(self.features, rows):
            block -= self.mean
            block /= self.scale
            yield part, block

    def outputs(self, rows: Rows, weight: Array, bias: Array) -> Array:
        """Return the outputs (len(rows), K) of coefficients (K, E) and intercepts (K,)."""
        parts = [block @ weight.T + bias for _, block in self.blocks(rows)]
        return np.concatenate(parts) if parts else np.empty((0, len(bias)))


def _blocks(features: NDArray[np.floating], rows: Rows) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(rows)))
        yield part, np.array(features[rows[part]], dtype=np.float64)


def _moments(
    features: NDArray[np.floating], rows: Rows, split: str = "train", floor: float = 0.0
) -> tuple[Array, Array, list[Problem]]:
    """Return mean and scale (E,) of the features (``limited_scale``), and a problem if some are not finite.

    Block means and sums of squares are merged as in Chan et al. 1983.
    """
    width = features.shape[1]
    count, mean, square = 0, np.zeros(width), np.zeros(width)
    bad = 0
    for part, block in _blocks(features, rows):
        finite = np.isfinite(block).all(axis=1)
        bad += int((~finite).sum())
        block[~finite] = 0
        size = part.stop - part.start
        here = block.mean(axis=0)
        apart = here - mean
        square += ((block - here) ** 2).sum(axis=0) + apart**2 * (count * size / (count + size))
        mean = mean + apart * (size / (count + size))
        count += size
    scale = np.sqrt(square / max(count, 1))
    return mean, limited_scale(mean, scale, floor), require_finite(np.full((bad, 1), np.nan), split)


def _path(standard: _Standard, rows: Rows, y: Array, grid: Sequence[float]) -> tuple[Array, Array]:
    """Return the coefficients (S, K, E) and intercepts (S, K) of targets y (N, K) without NaN, for each strength."""
    width = standard.features.shape[1]
    level = y.mean(axis=0)
    if len(rows) < width:
        z = np.concatenate([block for _, block in standard.blocks(rows)])
        centre = z.mean(axis=0)
        z -= centre
        solved = _solve(z @ z.T, y - level, [strength * width for strength in grid])
        weights = np.stack([dual.T @ z for dual in solved])
        return weights, level - weights @ centre
    gram = np.zeros((width, width), order="F")
    total, cross = np.zeros(width), np.zeros((width, y.shape[1]))
    for part, block in standard.blocks(rows):
        gram = dsyrk(1.0, block.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
        total += block.sum(axis=0)
        cross += block.T @ (y[part] - level)
    centre = total / len(rows)
    gram = dsyr(-float(len(rows)), centre, a=gram, lower=1, overwrite_a=1)
    weights = np.stack([w.T for w in _solve(gram, cross, [strength * width for strength in grid])])
    return weights, level - weights @ centre


def _solve(matrix: Array, right: Array, penalties: Sequence[float]) -> Iterator[Array]:
    """Yield the solutions of ``(matrix + penalty I) w = right``; only the lower triangle of the matrix is used."""
    diagonal = np.einsum("ii->i", matrix)
    own = diagonal.copy()
    for penalty in penalties:
        diagonal[:] = own + penalty
        yield cho_solve(cho_factor(matrix, lower=True, check_finite=False), right, check_finite=False)

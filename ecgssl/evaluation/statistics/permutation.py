"""A paired permutation test of two models: were they alike, it would not matter whose score a patient has been given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ecgssl.evaluation.statistics.metrics import Array, macro

_CELLS = 4_000_000
"""Permutations x recordings ranked at a time."""


def permutation_test(
    targets: ArrayLike, first: ArrayLike, second: ArrayLike, patients: ArrayLike, permutations: int, seed: int
) -> float:
    """Two-sided p value of the difference in macro AUROC.

    In every permutation each patient keeps the two models' scores, or has them exchanged, for all recordings and labels
    together. Scores are compared as ranks within their model, as models need not share a scale (Venkatraman & Begg,
    Biometrika 1996, exchange ranks so). The observed difference counts among the permutations, so p is never 0.

    Args:
        targets: (N, K) of 1, 0, NaN.
        first, second: (N, K) scores.
        patients: (N,) a key per recording; the draw depends on the keys, not on the order of the recordings.
        permutations: how many.
        seed: of the exchanges.

    Returns:
        NaN where no label has both classes.
    """
    y = np.asarray(targets, dtype=float)
    a, b = _ranks(np.asarray(first, dtype=float), y), _ranks(np.asarray(second, dtype=float), y)
    keys, codes = np.unique(np.asarray(patients), return_inverse=True)
    observed = float(_difference(y, a, b, np.zeros((1, len(y)), dtype=bool))[0])
    if np.isnan(observed):
        return float("nan")
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // len(y))
    extreme = 0
    for start in range(0, permutations, block):
        swapped = rng.random((min(block, permutations - start), len(keys))) < 0.5
        found = _difference(y, a, b, swapped[:, codes])
        # sums in another order differ by rounding, and then are no less extreme
        extreme += int((np.abs(found) >= abs(observed) - 1e-12).sum())
    return (extreme + 1) / (permutations + 1)


def _ranks(scores: Array, targets: Array) -> Array:
    ranks = np.full(scores.shape, np.nan)
    for k in range(scores.shape[1]):
        known = ~np.isnan(targets[:, k])
        ranks[known, k] = rankdata(scores[known, k])
    return ranks


def _difference(y: Array, a: Array, b: Array, swapped: NDArray[np.bool_]) -> Array:
    """(R,) macro AUROC of the first less the second, after the exchanges of each row."""
    found = np.full((len(swapped), y.shape[1]), np.nan)
    for k in range(y.shape[1]):
        known = ~np.isnan(y[:, k])
        sick = y[known, k] == 1
        m, n = int(sick.sum()), int((~sick).sum())
        if m and n:
            own, other, turn = a[known, k], b[known, k], swapped[:, known]
            areas = [
                (rankdata(np.where(turn, *pair), axis=1)[:, sick].sum(axis=1) - m * (m + 1) / 2) / (m * n)
                for pair in ((other, own), (own, other))
            ]
            found[:, k] = areas[0] - areas[1]
    return macro(found)

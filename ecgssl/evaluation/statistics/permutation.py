"""Paired permutation test of the macro AUROC of two models."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ecgssl.evaluation.statistics.metrics import Array, macro

_CELLS = 4_000_000
"""Maximum number of permutations times recordings per block, to limit the memory use."""


def permutation_test(
    targets: ArrayLike, first: ArrayLike, second: ArrayLike, patients: ArrayLike, permutations: int, seed: int
) -> float:
    """Return the two-sided p value of the difference in macro AUROC between two models.

    In each permutation, the scores of the two models are exchanged for each patient with probability 1/2, for all
    recordings and labels of the patient. Scores are first replaced by their ranks within the model, because models may
    have different scales (Venkatraman & Begg, Biometrika 1996). The observed difference counts as one permutation, so p
    is above 0.

    Args:
        targets: targets (N, K): 1, 0 or NaN (unknown).
        first, second: scores (N, K) of the two models.
        patients: patient key (N,) of each recording. The draws depend on the keys, not on the order of the recordings.
        permutations: number of permutations.
        seed: seed of the random exchanges.

    Returns:
        The p value; NaN if no label has both classes.
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
        # compare with a tolerance, because the order of summation causes rounding errors
        extreme += int((np.abs(found) >= abs(observed) - 1e-12).sum())
    return (extreme + 1) / (permutations + 1)


def _ranks(scores: Array, targets: Array) -> Array:
    ranks = np.full(scores.shape, np.nan)
    for k in range(scores.shape[1]):
        known = ~np.isnan(targets[:, k])
        ranks[known, k] = rankdata(scores[known, k])
    return ranks


def _difference(y: Array, a: Array, b: Array, swapped: NDArray[np.bool_]) -> Array:
    """Return the difference in macro AUROC (R,) after exchanging the scores as given by each row of ``swapped``."""
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

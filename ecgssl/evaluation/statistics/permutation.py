"""Paired permutation test of the macro AUROC of two models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ecgssl.evaluation.statistics.metrics import macro
from ecgssl.evaluation.statistics.ranking import Array, Ranking

_CELLS = 1 << 24
"""Maximum number of permutations times recordings per block, each of which takes five bytes."""


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
    # each label with the scores of both models: an exchange then only chooses which of them count
    rankings = [Ranking.of(np.tile(y[:, k], 2), np.r_[a[:, k], b[:, k]]) for k in range(y.shape[1])]
    observed = float(_difference(rankings, np.zeros((len(y), 1), dtype=bool))[0])
    if np.isnan(observed):
        return float("nan")
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // len(y))
    extreme = 0
    for start in range(0, permutations, block):
        swapped = np.empty((len(keys), min(block, permutations - start)), dtype=bool)
        for column in swapped.T:
            column[:] = rng.random(len(keys)) < 0.5
        found = _difference(rankings, swapped[codes])
        # compare with a tolerance, because the order of summation causes rounding errors
        extreme += int((np.abs(found) >= abs(observed) - 1e-12).sum())
    return (extreme + 1) / (permutations + 1)


def _ranks(scores: Array, targets: Array) -> Array:
    ranks = np.full(scores.shape, np.nan)
    for k in range(scores.shape[1]):
        known = ~np.isnan(targets[:, k])
        ranks[known, k] = rankdata(scores[known, k])
    return ranks


def _difference(rankings: Sequence[Ranking], swapped: NDArray[np.bool_]) -> Array:
    """Return the difference in macro AUROC (R,) after exchanging the scores as given by each column of ``swapped`` (N, R).

    Args:
        rankings: rankings of each label, with the scores of both models for the same recordings.
        swapped: true where the scores of a recording are exchanged.
    """
    own, other = (np.concatenate(pair).view(np.uint8).T for pair in ((~swapped, swapped), (swapped, ~swapped)))
    areas = [ranking.areas(own)[0] - ranking.areas(other)[0] for ranking in rankings]
    return macro(np.column_stack(areas))

"""A part of the labelled patients, to ask how many labels a pretrained encoder saves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def label_fraction(targets: ArrayLike, patients: ArrayLike, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which recordings keep their labels when only a share of the patients does.

    Patients are stratified by the rarest label that any of their recordings has, and each stratum gives its share, at least one
    patient. Shares of one seed are nested: who is in 5 % is in 10 %.

    Args:
        targets: (N, K) of 1, 0 and NaN (unknown).
        patients: (N,) a key per recording; the draw depends on the keys, not on the order of the recordings.
        fraction: above 0, at most 1.
        seed: of the order in which patients are taken.

    Returns:
        (N,) bool.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction {fraction} is not in (0, 1]")
    positive = np.asarray(targets, dtype=float) == 1
    keys, code = np.unique(np.asarray(patients), return_inverse=True)
    has = np.zeros((len(keys), positive.shape[1]), dtype=bool)
    np.logical_or.at(has, code, positive)
    rarity = np.argsort(np.argsort(-has.sum(axis=0), kind="stable"))  # 0 for the commonest label
    stratum = np.where(has, rarity + 1, 0).max(axis=1)
    turn = np.random.default_rng(seed).permutation(len(keys))
    chosen = np.zeros(len(keys), dtype=bool)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        ordered = members[np.argsort(turn[members])]
        chosen[ordered[: math.ceil(fraction * len(members) - 1e-9)]] = True
    return np.asarray(chosen[code])

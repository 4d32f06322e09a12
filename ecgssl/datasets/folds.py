"""Ten folds for sets that publish none: 1-8 train, 9 validates, 10 tests, as in PTB-XL and the benchmark on ICBEB2018.

What chance decides here is the SHA-256 of a name, not a random generator, so that the folds of a release are equal on
every machine and under every version of every library; and they do not follow the seed of an experiment, because then
one experiment would train on what another one tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FOLDS = 10
MADE_HERE = (
    "no split is published: ten folds of equal label shares were dealt out here; 1-8 train, 9 validates, 10 tests"
)
"""For the notes of a cohort."""
_VALIDATION, _TEST = 9, 10


def split_of(fold: float) -> str:
    """``train``, ``val`` or ``test`` for a fold from 1 to 10."""
    return {_VALIDATION: "val", _TEST: "test"}.get(int(fold), "train")


def stratified_folds(labels: NDArray[np.float64], groups: Sequence[str], salt: str) -> NDArray[np.int64]:
    """Folds with equal shares of every label: iterative stratification (Sechidis et al. 2011, ECML PKDD, algorithm 1).

    The label with the fewest recordings left is dealt out first, each to the fold that lacks it most.

    Args:
        labels: (recordings, labels) 1, 0 or NaN.
        groups: of each recording; one group (a patient) is in one fold. Its name where nothing groups them.
        salt: equal salts give equal folds to an equal table.

    Returns:
        (recordings,) 1 to 10.
    """
    names, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    order = sorted(range(len(names)), key=lambda i: _digest(salt, str(names[i])))
    positive = np.zeros((len(names), labels.shape[1]), dtype=bool)
    np.logical_or.at(positive, member, labels == 1)
    size = np.bincount(member, minlength=len(names))
    wanted = np.tile(positive.sum(axis=0) / FOLDS, (FOLDS, 1))
    room = np.full(FOLDS, size.sum() / FOLDS)
    fold = np.full(len(names), -1)

    def deal(group: int, lacking: NDArray[np.float64]) -> None:
        best = lacking == lacking.max()
        chosen = int(np.where(best, room, -np.inf).argmax())
        fold[group] = chosen
        wanted[chosen] -= positive[group]
        room[chosen] -= size[group]
        left[:] -= positive[group]

    left = positive.sum(axis=0)
    while left.any():
        label = int(np.where(left > 0, left, len(names) + 1).argmin())
        for group in order:
            if fold[group] < 0 and positive[group, label]:
                deal(group, wanted[:, label])
    for group in order:
        if fold[group] < 0:
            deal(group, room)
    return fold[member] + 1


def hashed_folds(groups: Sequence[str], salt: str, folds: int) -> NDArray[np.int64]:
    """Folds from 0 that follow from the name of a group alone, so that any part of a set keeps those of the whole.

    Args:
        groups: of each recording (a patient).
        salt: equal salts give equal folds.
        folds: how many.
    """
    known = {name: int(_digest(salt, name)[:12], 16) % folds for name in dict.fromkeys(groups)}
    return np.array([known[name] for name in groups], dtype=np.int64)


def _digest(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()

"""Ten cross-validation folds for sets without a published split: 1-8 train, 9 validates, 10 tests.

PTB-XL and the benchmark on ICBEB2018 use the same division. Folds follow from the SHA-256 of names instead of a random
generator, so that they are equal on every machine and with every version of every library. They do not depend on the seed
of an experiment: otherwise one experiment would train on the test data of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS = 10
MADE_HERE = "no split is published: ten folds with equal label shares were made here; 1-8 train, 9 validates, 10 tests"
"""Note for a cohort with such folds."""
_VALIDATION, _TEST = 9, 10


def split_of(fold: float) -> str:
    """Return ``train``, ``val`` or ``test`` for a fold from 1 to 10."""
    return {_VALIDATION: "val", _TEST: "test"}.get(int(fold), "train")


def add_folds(table: pd.DataFrame, folds: NDArray[np.int64]) -> None:
    """Add the columns ``fold`` and ``split`` to a table of recordings, in place.

    Args:
        table: one row per recording.
        folds: (recordings,) 1 to 10.
    """
    table["fold"] = folds.astype(float)
    table["split"] = table["fold"].map(split_of)


def stratified_folds(labels: NDArray[np.float64], groups: Sequence[str], salt: str) -> NDArray[np.int64]:
    """Return folds with equal shares of every label: iterative stratification (Sechidis et al. 2011, ECML PKDD, algorithm 1).

    The label with the fewest remaining recordings is assigned first, each recording to the fold that needs it most.

    Args:
        labels: (recordings, labels) 1, 0 or NaN.
        groups: group (patient) of each recording, which is assigned to one fold. Use the recording's name if the patient
            is unknown.
        salt: equal salts give equal folds for an equal table.

    Returns:
        (recordings,) 1 to 10.
    """
    names, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    order = sorted(range(len(names)), key=lambda i: _digest(salt, str(names[i])))
    positive = np.zeros((len(names), labels.shape[1]), dtype=bool)
    np.logical_or.at(positive, member, labels == 1)
    size = np.bincount(member, minlength=len(names))
    needed = np.tile(positive.sum(axis=0) / FOLDS, (FOLDS, 1))
    room = np.full(FOLDS, size.sum() / FOLDS)
    fold = np.full(len(names), -1)

    def assign(group: int, lacking: NDArray[np.float64]) -> None:
        best = lacking == lacking.max()
        chosen = int(np.where(best, room, -np.inf).argmax())
        fold[group] = chosen
        needed[chosen] -= positive[group]
        room[chosen] -= size[group]
        left[:] -= positive[group]

    left = positive.sum(axis=0)
    while left.any():
        label = int(np.where(left > 0, left, len(names) + 1).argmin())
        for group in order:
            if fold[group] < 0 and positive[group, label]:
                assign(group, needed[:, label])
    for group in order:
        if fold[group] < 0:
            assign(group, room)
    return fold[member] + 1


def hashed_folds(groups: Sequence[str], salt: str, folds: int) -> NDArray[np.int64]:
    """Return folds from 0 that depend only on the name of a group, so that a part of a set keeps the folds of the whole.

    Args:
        groups: group (patient) of each recording.
        salt: equal salts give equal folds.
        folds: number of folds.
    """
    known = {name: int(_digest(salt, name)[:12], 16) % folds for name in dict.fromkeys(groups)}
    return np.array([known[name] for name in groups], dtype=np.int64)


def _digest(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()

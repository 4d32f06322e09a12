"""Assignment of recordings to ten folds for datasets without a published split: 1-8 are train, 9 is val, 10 is test.

The published folds of PTB-XL, and the benchmark of Strodthoff et al. 2021 on ICBEB2018, use the same proportions. Folds are
computed from the SHA-256 of names instead of random numbers, so that they are the same on every machine and with every
library version. They do not depend on the seed of an experiment; otherwise the test data of one experiment could be
training data of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS = 10
MADE_HERE = "no split is published: ten stratified folds were made by ecgssl; folds 1-8 are train, 9 val, 10 test"
"""Note for a cohort with folds made by ``stratified_folds``."""
_VALIDATION, _TEST = 9, 10


def split_of(fold: float) -> str:
    """Return ``train``, ``val`` or ``test`` for a fold from 1 to 10."""
    return {_VALIDATION: "val", _TEST: "test"}.get(int(fold), "train")


def add_folds(table: pd.DataFrame, folds: NDArray[np.int64]) -> None:
    """Add the columns ``fold`` and ``split`` to a table of recordings, in place.

    Args:
        table: one row per recording.
        folds: (recordings,) fold of each recording, 1 to 10.
    """
    table["fold"] = folds.astype(float)
    table["split"] = table["fold"].map(split_of)


def stratified_folds(labels: NDArray[np.float64], groups: Sequence[str], salt: str) -> NDArray[np.int64]:
    """Assign recordings to ten folds in which every label has about the same frequency.

    Method: iterative stratification (Sechidis et al. 2011, ECML PKDD, algorithm 1). The rarest label is distributed first.
    Each patient is assigned to the fold that lacks this label most.

    Args:
        labels: array (recordings, labels) of 1, 0 or NaN.
        groups: patient of each recording. All recordings of a patient get the same fold. Use the name of the recording if
            the patient is unknown.
        salt: text that is hashed together with the names. The same salt and table always give the same folds.

    Returns:
        (recordings,) fold of each recording, 1 to 10.
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
    """Assign recordings to folds by a hash of the patient id.

    The fold of a patient does not depend on the other recordings, so it stays the same in a subset of the data.

    Args:
        groups: patient id of each recording.
        salt: text that is hashed together with the patient id. The same salt always gives the same folds.
        folds: number of folds.

    Returns:
        (recordings,) fold of each recording, counted from 0.
    """
    known = {name: int(_digest(salt, name)[:12], 16) % folds for name in dict.fromkeys(groups)}
    return np.array([known[name] for name in groups], dtype=np.int64)


def _digest(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()

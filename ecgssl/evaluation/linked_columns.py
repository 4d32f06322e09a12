"""Withheld counts that follow from another column, because its groups copy, complement or contain the withheld groups.

Each column splits the same recordings into groups, for example by site and by device. If every site has its own device, the
counts by device are those by site. An attacker may know such relations, therefore the counts of all columns are checked
together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.evaluation.suppression import Mask

_RESIDUAL = 1e-6

Groups = NDArray[np.int64]


def by_first_record(groups: Sequence[NDArray[np.bool_]]) -> list[int]:
    """Return the order of groups by their first recording.

    Suppression of groups in this order gives the same result for columns with equal content and other names.

    Args:
        groups: mask (n,) of the recordings of each group.
    """
    return sorted(range(len(groups)), key=lambda g: (int(groups[g].argmax()) if groups[g].any() else len(groups[g]), g))


def reveals(columns: Sequence[Groups], hidden: Sequence[Mask]) -> bool:
    """Return whether a withheld count is a linear combination of the published counts of all columns.

    The total is always published. The relations between the columns are considered known: each combination of groups that
    no recording has is known to be empty.

    Args:
        columns: group index (n,) of each recording, for each column.
        hidden: mask (G,) of the groups whose count is withheld, for each column.
    """
    if not any(mask.any() for mask in hidden):
        return False
    cells = np.unique(np.column_stack(columns), axis=0)
    published = [np.ones(len(cells))]
    secret: list[NDArray[np.float64]] = []
    for place, mask in enumerate(hidden):
        for group in np.unique(cells[:, place]):
            (secret if mask[group] else published).append((cells[:, place] == group).astype(float))
    known, wanted = np.array(published).T, np.array(secret).T
    if not wanted.size:
        return False
    combination = np.linalg.lstsq(known, wanted, rcond=None)[0]
    return bool((np.abs(known @ combination - wanted).max(axis=0) < _RESIDUAL).any())

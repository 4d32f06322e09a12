"""Withheld counts that follow from another column, because its groups copy, complement or contain the withheld groups.

Each column splits the same recordings into groups, for example by site and by device. If every site has its own device, the
counts by device are those by site. An attacker may know such relations, therefore the counts of all columns are checked
together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.evaluation.suppression import WIDTH, Mask

_RESIDUAL = 1e-6

Groups = NDArray[np.int64]


def by_first_record(groups: Sequence[NDArray[np.bool_]]) -> list[int]:
    """Return the order of groups by their first recording.

    Suppression of groups in this order gives the same result for columns with equal content and other names.

    Args:
        groups: mask (n,) of the recordings of each group.
    """
    return sorted(range(len(groups)), key=lambda g: (int(groups[g].argmax()) if groups[g].any() else len(groups[g]), g))


def reveals(columns: Sequence[Groups], hidden: Sequence[Mask], sizes: bool = False) -> bool:
    """Return whether a withheld count follows from the published counts of all columns.

    The total is always published. The relations between the columns are considered known: each combination of groups that
    no recording has is known to be empty. A count follows if it is a linear combination of published counts.

    Args:
        columns: group index (n,) of each recording, for each column.
        hidden: mask (G,) of the groups whose count is withheld, for each column.
        sizes: the counts are those of the recordings in ``columns``. Then a count also follows if the bounds that the
            published counts imply differ by less than ``WIDTH``.
    """
    if not any(mask.any() for mask in hidden):
        return False
    cells, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    published = [np.ones(len(cells))]
    secret: list[NDArray[np.float64]] = []
    for place, mask in enumerate(hidden):
        for group in np.unique(cells[:, place]):
            (secret if mask[group] else published).append((cells[:, place] == group).astype(float))
    if not secret:
        return False
    known, wanted = np.array(published).T, np.array(secret).T
    combination = np.linalg.lstsq(known, wanted, rcond=None)[0]
    if (np.abs(known @ combination - wanted).max(axis=0) < _RESIDUAL).any():
        return True
    return sizes and any(_width(row, known.T, known.T @ counts) < WIDTH - _RESIDUAL for row in wanted.T)


def _width(row: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the difference of the largest and the smallest possible sum of ``row`` over the counts of the cells."""
    from scipy.optimize import linprog

    # all counts are at most the total, so both ends exist
    return float(-sum(linprog(sign * row, A_eq=known, b_eq=values).fun for sign in (1, -1)))

"""Hash tables of the search for copies: signs of one lead of waveform codes, ordered by hash key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAD_LIMIT = 0.25
"""Largest proportion of differing signs in the lead of a table, for a comparison of all leads."""
_CHUNK = 1 << 18

Words = tuple[NDArray[Any], NDArray[Any]]
"""Bits of n recordings: words of 64 bits (n,) and of 32 bits (n,)."""


@dataclass(frozen=True)
class LeadTable:
    """Recordings in the order of their hash keys, so that recordings to compare are close in memory.

    Args:
        rows: (m,) rows of the recordings that have the lead; ascending for equal keys.
        keys: (m,) hash keys, ascending.
        signs: signs of the lead, in the same order.
        valid: available signs, in the same order; a single entry if they are the same for all recordings.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.uint16]
    signs: Words
    valid: Words

    @classmethod
    def of(cls, signs: NDArray[np.uint8], valid: NDArray[np.uint8], lead: int, points: NDArray[np.int64]) -> LeadTable:
        """Return the table of a lead. A key consists of the signs at ``points``, at most 16.

        Args:
            signs, valid: (n, leads, 12) packed signs, see ``WaveformCodes``.
            lead: number of the lead.
            points: places of the sampled signs.
        """
        signs, valid = (np.ascontiguousarray(part[:, lead]) for part in (signs, valid))
        rows = np.flatnonzero(valid.any(axis=1)).astype(np.int64)
        columns = np.ascontiguousarray(signs[rows].T)
        keys = np.zeros(len(rows), dtype=np.uint16)
        for point in points.tolist():
            keys = keys << np.uint16(1) | (columns[point // 8] >> np.uint8(7 - point % 8) & np.uint8(1))
        # numpy sorts 16-bit keys by radix, in linear time
        order = np.argsort(keys, kind="stable")
        rows = rows[order]
        own = valid[:1] if (valid == valid[:1]).all() else valid.take(rows, axis=0)
        return cls(rows, keys[order], _words(signs.take(rows, axis=0)), _words(own))


def similar(a: LeadTable, b: LeadTable, one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether at most ``_LEAD_LIMIT`` of the signs differ between the places ``one`` of a and ``two`` of b."""
    differ, common = np.zeros(len(one), np.uint8), np.zeros(1, np.uint8)
    for signs_a, signs_b, valid_a, valid_b in zip(a.signs, b.signs, a.valid, b.valid, strict=True):
        both = _at(valid_a, one) & _at(valid_b, two)
        differ += np.bitwise_count((signs_a.take(one) ^ signs_b.take(two)) & both)
        common = common + np.bitwise_count(both)
    return differ <= np.floor(_LEAD_LIMIT * common).astype(np.uint8)


def pairs_in_chunks(
    begin: NDArray[np.int64], counts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield all pairs of places (begin[i] + j, i) with 0 <= j < counts[i], about ``_CHUNK`` at a time."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    edges = np.unique([*np.searchsorted(ends, np.arange(0, total, _CHUNK), side="right"), len(ends)])
    for low, high in pairwise(edges.tolist()):
        some = counts[low:high]
        two = np.repeat(np.arange(low, high), some)
        # number of pairs before the first pair of each i
        before = ends[low:high] - some
        yield np.arange(before[0], ends[high - 1]) + np.repeat(begin[low:high] - before, some), two


def _words(packed: NDArray[np.uint8]) -> Words:
    first, second = (np.ascontiguousarray(part) for part in (packed[:, :8], packed[:, 8:]))
    return first.view(np.uint64)[:, 0], second.view(np.uint32)[:, 0]


def _at(valid: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    return valid if len(valid) == 1 else valid.take(places)

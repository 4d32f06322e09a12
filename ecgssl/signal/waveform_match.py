"""Search for copies of recordings by waveform codes, without comparing all pairs.

The search uses locality-sensitive hashing by bit sampling (Indyk and Motwani 1998). Each of ``TABLES`` hash tables
samples ``KEY_SIGNS`` signs of one lead, and two codes are compared only if all sampled signs are equal in at least one
table. If a proportion p of the signs differs, the probability of this is 1 - (1 - (1 - p)^16)^32, which is
1.000 for p = 0.05 and 0.92 for the limit p = 0.15.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.signal.waveform_hash import CODE_BYTES, HASH_LEADS, HEADER_BYTES, LEAD_BYTES, POINTS, VERSION
from ecgssl.signal.waveform_tables import LeadTable, pairs_in_chunks, similar

LIMIT = 0.15
"""Largest distance between copies of a recording.

Copies that were re-quantised, resampled, scaled, filtered or shifted by up to 50 ms have distances up to 0.14. The
smallest distance in 1.8 million pairs of different recordings is 0.29.
"""
FEW_LIMIT = 0.08
"""Largest distance between copies if fewer than ``MANY`` signs are compared (few leads or short recordings).

Pairs with fewer than ``LEAST`` compared signs are not reported as copies.
"""
MANY, LEAST = 250, 60

TABLES, KEY_SIGNS, KEY_POINTS = 32, 16, 63


@dataclass(frozen=True)
class WaveformCodes:
    """Waveform codes of n recordings.

    Args:
        signs: (n, leads, ``LEAD_BYTES``) uint8, one bit per sign.
        valid: (n, leads, ``LEAD_BYTES``) uint8, bits that are 1 for available signs.
    """

    signs: NDArray[np.uint8]
    valid: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.signs)

    @classmethod
    def parse(cls, hashes: Sequence[str], where: str = "waveform_hash") -> WaveformCodes:
        """Return the codes from strings returned by ``ecgssl.signal.waveform_hash``.

        Args:
            hashes: one string per recording.
            where: file or folder of the codes, for error messages.

        Raises:
            InputError: a string is not a waveform code of the current version.
        """
        try:
            raw = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), CODE_BYTES)
        except (ValueError, TypeError):
            raw = np.zeros((1, CODE_BYTES), dtype=np.uint8)
        return cls.unpack(raw, where)

    @classmethod
    def unpack(cls, raw: NDArray[np.uint8], where: str = "waveform_hash") -> WaveformCodes:
        """Return the codes from an array (n, ``CODE_BYTES``) of bytes; raise the same error as ``parse``."""
        require_codes(raw, where)
        there = np.unpackbits(raw[:, 2:HEADER_BYTES], axis=1)
        begun = np.packbits(np.arange(8 * LEAD_BYTES) < raw[:, 1:2], axis=1)
        signs = raw[:, HEADER_BYTES:].reshape(len(raw), len(HASH_LEADS), LEAD_BYTES)
        return cls(signs, there[:, :, None] * begun[:, None])

    def take(self, rows: NDArray[np.int64]) -> WaveformCodes:
        """Return the codes of the recordings in ``rows``."""
        return WaveformCodes(self.signs[rows], self.valid[rows])

    def counted_three_ways(self) -> tuple[WaveformCodes, WaveformCodes, WaveformCodes]:
        """Return three copies of the codes: unchanged, and with the grid shifted by one point in each direction."""
        earlier = WaveformCodes(_earlier(self.signs), _earlier(self.valid))
        return self, earlier, WaveformCodes(_later(self.signs), _later(self.valid))


@dataclass(frozen=True)
class Copies:
    """Recordings of one set that also occur in another set.

    Args:
        rows: (m,) rows in the first set, ascending.
        closest: (m,) row of the most similar recording in the second set.
        distance: (m,) distance to this recording.
    """

    rows: NDArray[np.int64]
    closest: NDArray[np.int64]
    distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def require_codes(raw: NDArray[np.uint8], where: str) -> None:
    """Check that an array (n, ``CODE_BYTES``) of bytes contains waveform codes of the current version.

    Raises:
        InputError: a row is not such a code. The message starts with ``where``, the file or folder of the codes.
    """
    if (raw[:, 0] != VERSION).any() or (raw[:, 1] > POINTS).any():
        what = f"contains no waveform codes of version {VERSION}, which the search for copies needs"
        remedy = "Make the store again with 'ecgssl preprocess', or the encoder with 'ecgssl pretrain'"
        raise InputError(Problem(where, "waveform hashes", what, remedy))


def distances(a: WaveformCodes, b: WaveformCodes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distances between the recordings ``a[i]`` and ``b[i]``.

    Returns:
        (n,) proportion of differing signs, averaged over the leads that both recordings have; 1 if there are none. For
        each lead, the grid is shifted by -1, 0 or 1 points to obtain the smallest distance. (n,) number of compared
        signs.
    """
    return _distances(a, b.counted_three_ways())


def find_copies(a: WaveformCodes, b: WaveformCodes) -> tuple[Copies, Copies]:
    """Return the recordings of ``a`` with copies in ``b``, and the recordings of ``b`` with copies in ``a``.

    Args:
        a: codes of the first set; the search is faster if it is the larger set.
        b: codes of the second set.
    """
    (first_a, of_a), (first_b, of_b) = _distinct(a), _distinct(b)
    found = [(np.array([], np.int64), np.array([], np.int64), np.array([]))]
    found += _candidates(a.take(first_a), b.take(first_b))
    one, two, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    return _copies(one, two, distance, of_a, first_b), _copies(two, one, distance, of_b, first_a)


def same_recording(codes: WaveformCodes) -> NDArray[np.int64]:
    """Return group numbers (n,) from 0; copies of a recording, and copies of its copies, have the same number."""
    first, of = _distinct(codes)
    distinct = codes.take(first)
    pairs = [(one, two) for one, two, _ in _candidates(distinct, None)]
    one, two = (np.concatenate(part) for part in zip(*pairs, strict=True)) if pairs else (first[:0], first[:0])
    number = np.arange(len(first))
    while True:
        # propagate the smallest group number between copies until no number changes
        smaller = number.copy()
        np.minimum.at(smaller, one, number[two])
        np.minimum.at(smaller, two, number[one])
        if (smaller == number).all():
            return np.unique(number, return_inverse=True)[1][of].astype(np.int64)
        number = smaller


def _copies(
    own: NDArray[np.int64],
    other: NDArray[np.int64],
    distance: NDArray[np.float64],
    of: NDArray[np.int64],
    first: NDArray[np.int64],
) -> Copies:
    """Return the rows for pairs of distinct codes (``own``, ``other``), with the closest copy of each row.

    ``of`` is the code number of each row, and ``first`` the first row of each code in the other set.
    """
    order = np.lexsort((first[other], distance, own))
    codes, best = np.unique(own[order], return_index=True)
    rows = np.flatnonzero(np.isin(of, codes))
    chosen = order[best[np.searchsorted(codes, of[rows])]]
    return Copies(rows, first[other[chosen]], distance[chosen])


def _candidates(
    a: WaveformCodes, b: WaveformCodes | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield copies as rows of ``a``, rows of ``b`` and distances, possibly several times.

    If ``b`` is ``None``, yield copies within ``a``. A pair occurs in one order only, because distances are symmetric.
    """
    counted = (a if b is None else b).counted_three_ways()
    # within one set, a later grid of the one recording is an earlier grid of the other
    searched = counted[:2] if b is None else counted
    generator = np.random.default_rng(VERSION)
    for table in range(TABLES):
        lead = table % len(HASH_LEADS)
        # the first point is not sampled, because it is missing if the grid is shifted
        points = 1 + generator.choice(KEY_POINTS, KEY_SIGNS, replace=False)
        in_a = LeadTable.of(a.signs, a.valid, lead, points)
        size = np.bincount(in_a.keys, minlength=1 << KEY_SIGNS)
        ends = np.cumsum(size)
        for number, codes in enumerate(searched):
            own = b is None and number == 0
            in_b = in_a if own else LeadTable.of(codes.signs, codes.valid, lead, points)
            begin = (ends - size)[in_b.keys]
            # a recording is compared with those before it in its own table, and with all of another table
            counts = (np.arange(len(in_b.rows)) if own else ends[in_b.keys]) - begin
            for place_a, place_b in pairs_in_chunks(begin, counts):
                likely = similar(in_a, in_b, place_a, place_b)
                one, two = in_a.rows[place_a[likely]], in_b.rows[place_b[likely]]
                if b is None:
                    other = one != two
                    one, two = one[other], two[other]
                distance, compared = _distances(a.take(one), [part.take(two) for part in counted])
                same = (distance <= np.where(compared >= MANY, LIMIT, FEW_LIMIT)) & (compared >= LEAST)
                yield one[same], two[same], distance[same]


def _distances(a: WaveformCodes, counted: Sequence[WaveformCodes]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    best = np.ones((len(a), len(HASH_LEADS)))
    compared = np.zeros((len(a), len(HASH_LEADS)), dtype=np.int64)
    for b in counted:
        common = a.valid & b.valid
        count = _count(common)
        np.minimum(best, _count((a.signs ^ b.signs) & common) / np.maximum(count, 1), out=best, where=count > 0)
        np.maximum(compared, count, out=compared)
    shared = compared > 0
    mean = (best * shared).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)
    return np.where(shared.any(axis=1), mean, 1.0), compared.sum(axis=1)


def _count(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of set bits along the last axis."""
    return _set_bits(np.ascontiguousarray(bits).view(np.uint32))


def _set_bits(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the number of set bits of words (..., 3) along the last axis."""
    count = np.bitwise_count(words)
    # adding three columns is faster than a sum over a short axis
    return (count[..., 0] + count[..., 1] + count[..., 2]).astype(np.int64)


def _distinct(codes: WaveformCodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct code, and the number of the distinct code of each row."""
    joined = np.concatenate([codes.signs, codes.valid], axis=2).reshape(len(codes), 2 * len(HASH_LEADS) * LEAD_BYTES)
    _, first, of = np.unique(joined.view(f"V{joined.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return first.astype(np.int64), of.astype(np.int64)


def _earlier(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the packed bits shifted by one position towards the start."""
    out = np.left_shift(bits, np.uint8(1))
    out[..., :-1] |= np.right_shift(bits[..., 1:], np.uint8(7))
    return out


def _later(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the packed bits shifted by one position towards the end."""
    out = np.right_shift(bits, np.uint8(1))
    out[..., 1:] |= np.left_shift(bits[..., :-1], np.uint8(7))
    return out

"""Search for identical recordings in two sets by waveform codes, without comparing all pairs.

Locality-sensitive hashing by bit sampling (Indyk and Motwani 1998): two codes are compared in full if they agree in all
``KEY_SIGNS`` sampled signs of one lead, in at least one of ``TABLES`` samples. For copies with a share p of differing signs the
probability of this is 1 - (1 - (1 - p)^16)^32: 1.000 at p = 0.05 and 0.91 at the limit of 0.15.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.signal.waveform_hash import CODE_BYTES, HASH_LEADS, HEADER_BYTES, LEAD_BYTES, POINTS, VERSION

LIMIT = 0.15
"""Largest distance between copies of one recording. Copies that were re-quantised, resampled, scaled, filtered or cut by up to
50 ms have distances up to 0.14. The smallest distance among 1.8 million pairs of distinct recordings is 0.29."""
FEW_LIMIT = 0.08
"""Limit if fewer than ``MANY`` signs can be compared: one or two leads, or short recordings."""
MANY, LEAST = 250, 60

TABLES, KEY_SIGNS, KEY_POINTS = 32, 16, 63
_LEAD_LIMIT = 0.25
_CHUNK = 1 << 18


@dataclass(frozen=True)
class WaveformCodes:
    """Waveform codes of n recordings.

    Args:
        signs: (n, leads, ``LEAD_BYTES``) uint8, one bit per sign.
        valid: same shape; the bit is 1 for each sign that the recording has.
    """

    signs: NDArray[np.uint8]
    valid: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.signs)

    @classmethod
    def parse(cls, hashes: Sequence[str], where: str = "waveform_hash") -> WaveformCodes:
        """Return the codes from the hex digits of ``ecgssl.signal.waveform_hash``.

        Args:
            hashes: one text per recording.
            where: source of the codes, for the message.

        Raises:
            InputError: a text is not a waveform code, or is a code of another version.
        """
        try:
            raw = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), CODE_BYTES)
        except (ValueError, TypeError):
            raw = np.zeros((1, CODE_BYTES), dtype=np.uint8)
        return cls.unpack(raw, where)

    @classmethod
    def unpack(cls, raw: NDArray[np.uint8], where: str = "waveform_hash") -> WaveformCodes:
        """Return the codes from (n, ``CODE_BYTES``) bytes; errors as in ``parse``."""
        if (raw[:, 0] != VERSION).any() or (raw[:, 1] > POINTS).any():
            what = f"contains no waveform codes of version {VERSION}, which the search for copies needs"
            remedy = "Make the store again with 'ecgssl preprocess', or the encoder with 'ecgssl pretrain'"
            raise InputError(Problem(where, "waveform hashes", what, remedy))
        there = np.unpackbits(raw[:, 2:HEADER_BYTES], axis=1)
        begun = np.packbits(np.arange(8 * LEAD_BYTES) < raw[:, 1:2], axis=1)
        signs = raw[:, HEADER_BYTES:].reshape(len(raw), len(HASH_LEADS), LEAD_BYTES)
        return cls(signs, there[:, :, None] * begun[:, None])

    def take(self, rows: NDArray[np.int64]) -> WaveformCodes:
        """Return the codes of the selected recordings."""
        return WaveformCodes(self.signs[rows], self.valid[rows])

    def counted_three_ways(self) -> tuple[WaveformCodes, WaveformCodes, WaveformCodes]:
        """Return the codes with the grid counted unchanged, from one point earlier, and from one point later."""
        earlier = WaveformCodes(_earlier(self.signs), _earlier(self.valid))
        return self, earlier, WaveformCodes(_later(self.signs), _later(self.valid))


@dataclass(frozen=True)
class Copies:
    """Recordings of one set that also occur in another set.

    Args:
        rows: (m,) rows in the first set, ascending.
        closest: (m,) row of the most similar recording in the other set.
        distance: (m,) distance between the two.
    """

    rows: NDArray[np.int64]
    closest: NDArray[np.int64]
    distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def distances(a: WaveformCodes, b: WaveformCodes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distances between the recordings a[i] and b[i].

    Returns:
        (n,) share of differing signs, as the mean over common leads. For each lead, the best of the three ways to count
        the grid is used. It is 1 without common leads. (n,) number of compared signs.
    """
    return _distances(a, b.counted_three_ways())


def find_copies(a: WaveformCodes, b: WaveformCodes) -> tuple[Copies, Copies]:
    """Return the recordings of ``a`` that also occur in ``b``, and those of ``b`` that also occur in ``a``.

    Args:
        a: the larger set, which is sorted once per table.
        b: the smaller set.
    """
    (first_a, of_a), (first_b, of_b) = _distinct(a), _distinct(b)
    found = [(np.array([], np.int64), np.array([], np.int64), np.array([]))]
    found += _candidates(a.take(first_a), b.take(first_b))
    one, two, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    return _copies(one, two, distance, of_a, first_b), _copies(two, one, distance, of_b, first_a)


def same_recording(codes: WaveformCodes) -> NDArray[np.int64]:
    """Return group numbers (n,) from 0: direct and indirect copies of a recording have the same number."""
    first, of = _distinct(codes)
    distinct = codes.take(first)
    pairs = [(one, two) for one, two, _ in _candidates(distinct, distinct)]
    one, two = (np.concatenate(part) for part in zip(*pairs, strict=True)) if pairs else (first[:0], first[:0])
    number = np.arange(len(first))
    while True:
        # propagate the smallest number among a recording and its copies until nothing changes
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
    """Map pairs of distinct codes to rows; ``of``: code of each row, ``first``: first row of each code in the other set."""
    order = np.lexsort((first[other], distance, own))
    codes, best = np.unique(own[order], return_index=True)
    rows = np.flatnonzero(np.isin(of, codes))
    chosen = order[best[np.searchsorted(codes, of[rows])]]
    return Copies(rows, first[other[chosen]], distance[chosen])


def _candidates(
    a: WaveformCodes, b: WaveformCodes
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    counted = b.counted_three_ways()
    generator = np.random.default_rng(VERSION)
    for table in range(TABLES):
        lead = table % len(HASH_LEADS)
        # leave out the first point, which is lost if the grid is counted from the next point
        points = 1 + generator.choice(KEY_POINTS, KEY_SIGNS, replace=False)
        rows_a, keys_a = _keys(a, lead, points)
        order = np.argsort(keys_a, kind="stable")
        keys_a, rows_a = keys_a[order], rows_a[order]
        for codes in counted:
            rows_b, keys_b = _keys(codes, lead, points)
            begin = np.searchsorted(keys_a, keys_b, side="left")
            counts = np.searchsorted(keys_a, keys_b, side="right") - begin
            ends = np.cumsum(counts)
            for start in range(0, int(counts.sum()), _CHUNK):
                number = np.arange(start, min(start + _CHUNK, int(ends[-1])))
                query = np.searchsorted(ends, number, side="right")
                one = rows_a[begin[query] + number - (ends[query] - counts[query])]
                two = rows_b[query]
                likely = _share(a, codes, one, two, lead) <= _LEAD_LIMIT
                one, two = one[likely], two[likely]
                distance, compared = _distances(a.take(one), [part.take(two) for part in counted])
                same = (distance <= np.where(compared >= MANY, LIMIT, FEW_LIMIT)) & (compared >= LEAST)
                yield one[same], two[same], distance[same]


def _keys(codes: WaveformCodes, lead: int, points: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows that have the lead, and the key of each: a number made of some of its signs."""
    rows = np.flatnonzero(codes.valid[:, lead].any(axis=1)).astype(np.int64)
    signs = codes.signs[rows, lead]
    keys = np.zeros(len(rows), dtype=np.int32)
    for point in points.tolist():
        keys = 2 * keys + (signs[:, point // 8] >> (7 - point % 8) & 1)
    return rows, keys


def _share(
    a: WaveformCodes, b: WaveformCodes, one: NDArray[np.int64], two: NDArray[np.int64], lead: int
) -> NDArray[np.float64]:
    """Return the share of differing signs in one lead of the recordings a[one] and b[two], for a fast first test."""
    common = a.valid[one, lead] & b.valid[two, lead]
    differ = (a.signs[one, lead] ^ b.signs[two, lead]) & common
    return _count(differ) / np.maximum(_count(common), 1)


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
    """Return the number of bits that are set along the last axis."""
    words = np.ascontiguousarray(bits).view(np.uint32)
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


def _distinct(codes: WaveformCodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of every distinct code, and the index of the code of each row; equal codes are compared once."""
    joined = np.concatenate([codes.signs, codes.valid], axis=2).reshape(len(codes), 2 * len(HASH_LEADS) * LEAD_BYTES)
    _, first, of = np.unique(joined.view(f"V{joined.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return first.astype(np.int64), of.astype(np.int64)


def _earlier(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bits shifted by one place towards the start."""
    out = np.left_shift(bits, np.uint8(1))
    out[..., :-1] |= np.right_shift(bits[..., 1:], np.uint8(7))
    return out


def _later(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bits shifted by one place towards the end."""
    out = np.right_shift(bits, np.uint8(1))
    out[..., 1:] |= np.left_shift(bits[..., :-1], np.uint8(7))
    return out

"""Recordings in descending order of a score: true and false positives, also for many resamples of the recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]
Weights = NDArray[Any]

_CELLS = 1 << 18
"""Maximum number of steps, or of recordings, times resamples per block, so that temporary arrays stay in the cache."""


def cumulative_counts(target: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> tuple[Array, Array]:
    """Return the numbers of true and false positives at every distinct score, in descending order of the score.

    Args:
        target: targets (N,): 1, 0 or NaN (unknown; ignored).
        score: scores (N,), finite where the target is known.
        weight: non-negative weights (R, N), one row per resample; ``None`` for one row of ones.

    Returns:
        True and false positives, each (R, D) for D distinct scores.

    Raises:
        ValueError: a score is not finite, or a target is not 0, 1 or NaN.
    """
    order, y, ends = _ordered(target, score)
    w = np.ones((1, len(np.asarray(target)))) if weight is None else np.asarray(weight)
    w = w[:, order].astype(np.float64)
    total = np.cumsum(w, axis=1)[:, ends]
    hits = np.cumsum(w * y, axis=1)[:, ends]
    return hits, total - hits


@dataclass(frozen=True)
class Ranking:
    """Recordings of one label in descending order of the score, divided into steps.

    A step is a group of equal scores that contains a positive recording, or all recordings between two such groups. Areas
    under curves need no more scores than these, because recall changes only at positive recordings.

    Args:
        recordings: number N of recordings, including those with unknown target.
        positives, negatives: rows of the positive and negative recordings in descending order of the score.
        positive_ends, negative_ends: (S + 1,) number of positive and negative recordings before each of S steps, and in all.
    """

    recordings: int
    positives: NDArray[np.int32]
    negatives: NDArray[np.int32]
    positive_ends: NDArray[np.int32]
    negative_ends: NDArray[np.int32]

    @classmethod
    def of(cls, target: ArrayLike, score: ArrayLike) -> Ranking:
        """Rank recordings. See ``cumulative_counts`` for arguments and errors."""
        order, y, ends = _ordered(target, score)
        positives, negatives = (order[y == value].astype(np.int32) for value in (1, 0))
        # numbers of positive and negative recordings up to each distinct score
        hits = np.cumsum(y, dtype=np.int64)[ends]
        positive = np.diff(hits, prepend=0) > 0
        last = positive | np.append(positive[1:], True)[: len(positive)]
        edges = [np.r_[0, counts[last]].astype(np.int32) for counts in (hits, ends + 1 - hits)]
        return cls(len(np.asarray(target)), positives, negatives, *edges)

    def areas(self, weight: Weights | None = None) -> tuple[Array, Array]:
        """Return AUROC (R,) and average precision (R,); NaN if the weighted recordings have only one class.

        Memory is limited: at most ``_CELLS`` steps or recordings times resamples are held at a time.

        Args:
            weight: non-negative weights (R, N), one row per resample; ``None`` for one row of ones. The transpose of a
                contiguous array (N, R) of uint8 is fastest.
        """
        columns: Weights = np.ones((self.recordings, 1), np.uint8) if weight is None else np.ascontiguousarray(weight.T)
        # sums of integers are exact, and numpy adds integers of 32 bits cumulatively seven times as fast as floats
        kind: type[Any] = np.int32 if columns.dtype == np.uint8 else np.float64
        smallest = 1 if kind is np.int32 else np.finfo(np.float64).tiny
        resamples, count = columns.shape[1], len(self.positive_ends) - 1
        block = max(1, _CELLS // max(resamples, 1))
        positives, negatives = np.zeros((2, resamples, 1), dtype=kind)
        area, recalled = np.zeros((2, resamples))
        for start in range(0, count, block):
            steps = slice(start, min(start + block, count) + 1)
            hits = _sums(self.positives, self.positive_ends[steps], columns, kind)
            false = _sums(self.negatives, self.negative_ends[steps], columns, kind)
            found = np.cumsum(hits, axis=1, dtype=kind) + positives
            passed = np.cumsum(false, axis=1, dtype=kind) + negatives
            positives, negatives = found[:, -1:], passed[:, -1:]
            above = found.astype(np.float64)
            area += np.einsum("rs,rs->r", false, above) - np.einsum("rs,rs->r", false, hits, dtype=np.float64) / 2
            above /= np.maximum(found + passed, smallest)
            recalled += np.einsum("rs,rs->r", hits, above)
        found, passed = (total[:, 0].astype(np.float64) for total in (positives, negatives))
        both = (found > 0) & (passed > 0)
        areas = np.full((2, resamples), np.nan)
        np.divide(area, found * passed, out=areas[0], where=both)
        np.divide(recalled, found, out=areas[1], where=both)
        return areas[0], areas[1]


def area_under_roc(target: ArrayLike, score: ArrayLike) -> float:
    """Return the AUROC of one label; NaN if the recordings have only one class. Equal to ``Ranking.areas``, but faster.

    It is the share of pairs of a positive and a negative recording in which the positive has the higher score; equal scores
    count as half a pair (Hanley and McNeil 1982). See ``cumulative_counts`` for arguments and errors.
    """
    y, s = _known(target, score)[1:]
    positive, negative = np.sort(s[y == 1]), np.sort(s[y == 0])
    pairs = len(positive) * len(negative)
    if not pairs:
        return float("nan")
    # twice the number of pairs is an integer; the longer array is searched, because it takes less time
    few, many = sorted((positive, negative), key=len)
    twice = sum(int(np.searchsorted(many, few, side).sum(dtype=np.int64)) for side in ("left", "right"))
    return (twice if few is positive else 2 * pairs - twice) / 2 / pairs


def _sums(rows: NDArray[np.int32], ends: NDArray[np.int32], columns: Weights, kind: type[Any]) -> NDArray[Any]:
    """Return the sums of weights (N, R) over consecutive groups of rows, as an array (R, groups).

    Group s consists of ``rows[ends[s]:ends[s + 1]]``.
    """
    out: NDArray[Any] = np.zeros((len(ends) - 1, columns.shape[1]), dtype=kind)
    block = max(1, _CELLS // max(columns.shape[1], 1))
    for start in range(int(ends[0]), int(ends[-1]), block):
        stop = min(start + block, int(ends[-1]))
        first, last = np.searchsorted(ends, start, side="right") - 1, np.searchsorted(ends, stop, side="left")
        own = np.clip(ends[first : last + 1], start, stop) - start
        # copy the weights in the order of the groups; a sparse product with ones then adds them
        weights: NDArray[Any] = columns.take(rows[start:stop], axis=0).astype(kind)
        ones, places = np.ones(stop - start, dtype=kind), np.arange(stop - start, dtype=np.int32)
        out[first:last] += csr_array((ones, places, own), shape=(last - first, stop - start)) @ weights
    return np.ascontiguousarray(out.T)


def _known(target: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.int64], Array, Array]:
    """Return the rows with a known target, their targets and scores. See ``cumulative_counts`` for errors."""
    y, s = np.asarray(target, dtype=float), np.asarray(score, dtype=float)
    known = np.flatnonzero(~np.isnan(y))
    y, s = y[known], s[known]
    if not ((y == 0) | (y == 1)).all():
        raise ValueError("targets must be 0, 1 or NaN (unknown)")
    if not np.isfinite(s).all():
        raise ValueError("scores must be finite")
    return known, y, s


def _ordered(target: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.int64], Array, NDArray[np.int64]]:
    """Return the rows with a known target by descending score, their targets, and the last place of each distinct score."""
    known, y, s = _known(target, score)
    order = np.argsort(-s, kind="stable")
    known, s, y = known[order], s[order], y[order]
    ends = np.flatnonzero(s[1:] != s[:-1])
    return known, y, np.append(ends, len(s) - 1) if len(s) else ends

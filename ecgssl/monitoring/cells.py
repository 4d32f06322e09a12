"""Counts that name nobody: what a reference keeps of recordings, no cell of fewer than ten."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 10
"""Recordings of the smallest cell that is told."""
OTHER = "other"
_BINS = 20

Count = int | tuple[int, int]
"""How many; from and up to where it is not told exactly."""


def count_told(count: int, total: int) -> Count:
    """A count that may be told of ``total`` recordings; 0 and all may, a few and all but a few are a range."""
    if 0 < count < SMALLEST:
        return 1, min(SMALLEST - 1, total)
    if 0 < total - count < SMALLEST:
        return max(total - SMALLEST + 1, 1), total - 1
    return count


def nearest(told: Count, total: int, share: float) -> int:
    """The count that ``told`` allows which is nearest to a share, so that what is not known speaks for no change."""
    low, high = (told, told) if isinstance(told, int) else told
    return int(np.clip(round(share * total), low, high))


def categories_told(values: NDArray[np.str_]) -> dict[str, int]:
    """Counts by value, commonest first; rare values together are ``other``, which takes common ones in until it is ten."""
    names, counts = np.unique(values, return_counts=True)
    ranked = sorted(zip(counts.tolist(), names.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    told = [pair for pair in ranked if pair[0] >= SMALLEST]
    rest = sum(count for count, _ in ranked[len(told) :])
    while 0 < rest < SMALLEST and told:
        rest += told.pop()[0]
    return {name: count for count, name in told} | ({OTHER: rest} if rest else {})


def category_counts(values: NDArray[np.str_], told: dict[str, int]) -> list[int]:
    """Counts of a batch in the categories of a reference, what it does not name in ``other``, which is always the last."""
    names = [name for name in told if name != OTHER]
    counts = [int((values == name).sum()) for name in names]
    return [*counts, len(values) - sum(counts)]


def numbers_told(values: NDArray[np.float64]) -> dict[str, Any]:
    """A histogram with about equally full bins, of ten recordings or more; the outer bins are open.

    Args:
        values: (n,), NaN where unknown.

    Returns:
        ``known``, ``mean``, ``sd``, ``edges`` between the bins and ``counts`` of the bins. Edges are rounded to about a
        hundredth of the standard deviation, so that none is somebody's value. Few known values have nothing but ``known``
        told, as a range where they are a few.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2 * SMALLEST:
        return {"known": count_told(len(known), len(values))}
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    decimals = int(2 - np.floor(np.log10(sd))) if sd > 0 else 0
    bins = min(_BINS, len(known) // SMALLEST)
    quantiles = np.quantile(known, np.arange(1, bins) / bins)
    edges: list[float] = []
    for edge in dict.fromkeys(round(float(q), decimals) for q in quantiles):
        below = int((known < edge).sum()) - (int((known < edges[-1]).sum()) if edges else 0)
        above = int((known >= edge).sum())
        if below >= SMALLEST and above >= SMALLEST:
            edges.append(edge)
    return {
        "known": count_told(len(known), len(values)),
        "mean": round(mean, decimals + 1),
        "sd": round(sd, decimals + 1),
        "edges": edges,
        "counts": number_counts(known, edges),
    }


def number_counts(known: NDArray[np.float64], edges: list[float]) -> list[int]:
    """Counts of finite values by bin; a value on an edge belongs above it."""
    places = np.searchsorted(np.asarray(edges), known, side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def merged(edges: list[float], reference: list[int], batch: list[int]) -> tuple[list[float], list[int], list[int]]:
    """The same histograms with neighbouring bins put together until none of the batch holds one to nine."""
    ends: list[int] = []
    held: list[int] = []
    waiting = 0
    for place, count in enumerate(batch):
        waiting += count
        if waiting == 0 or waiting >= SMALLEST:
            ends.append(place)
            held.append(waiting)
            waiting = 0
    while waiting and ends and waiting < SMALLEST:
        ends.pop()
        waiting += held.pop()
    if waiting:
        ends.append(len(batch) - 1)
        held.append(waiting)
    starts = [0, *(end + 1 for end in ends[:-1])]
    sums = [sum(reference[start : end + 1]) for start, end in zip(starts, ends, strict=True)]
    return [edges[end] for end in ends[:-1]], sums, held

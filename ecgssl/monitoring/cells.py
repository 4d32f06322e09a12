"""Counts and histograms for publication. They do not disclose counts from 1 to 9, which could identify patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 10
"""Smallest nonzero count that is published exactly."""
OTHER = "other"
_BINS = 20

Count = int | tuple[int, int]
"""Exact count, or the lowest and the highest possible count if the exact count is not published."""


def protected_count(count: int, total: int) -> Count:
    """Return a count out of ``total`` for publication.

    Counts from 1 to 9, and counts from ``total`` - 9 to ``total`` - 1, are replaced by these ranges. Other counts are
    returned unchanged.
    """
    if 0 < count < SMALLEST:
        return 1, min(SMALLEST - 1, total)
    if 0 < total - count < SMALLEST:
        return max(total - SMALLEST + 1, 1), total - 1
    return count


def nearest(published: Count, total: int, share: float) -> int:
    """Return the count nearest to ``share`` of ``total`` that is compatible with a published count or range.

    ``share`` is the share in the batch. Using the most similar possible reference avoids drift caused by the range.
    """
    low, high = (published, published) if isinstance(published, int) else published
    return int(np.clip(round(share * total), low, high))


def category_histogram(values: NDArray[np.str_]) -> dict[str, int]:
    """Return counts by value, most frequent first.

    Values with fewer than 10 recordings are merged into ``other``. While ``other`` has fewer than 10 recordings, the
    next rarest value is added to it.
    """
    names, counts = np.unique(values, return_counts=True)
    ranked = sorted(zip(counts.tolist(), names.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    published = [pair for pair in ranked if pair[0] >= SMALLEST]
    rest = sum(count for count, _ in ranked[len(published) :])
    while 0 < rest < SMALLEST and published:
        rest += published.pop()[0]
    return {name: count for count, name in published} | ({OTHER: rest} if rest else {})


def category_counts(values: NDArray[np.str_], published: dict[str, int]) -> list[int]:
    """Return the count in a batch of each category of the reference, followed by the count of all other values."""
    names = [name for name in published if name != OTHER]
    counts = [int((values == name).sum()) for name in names]
    return [*counts, len(values) - sum(counts)]


def number_histogram(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return a histogram with approximately equal counts per bin, at least 10. The first and last bins are unbounded.

    Args:
        values: values (n,), NaN where unknown.

    Returns:
        Mapping with ``known`` (count of known values, see ``protected_count``), ``mean``, ``sd`` (standard deviation),
        ``edges`` between the bins and ``counts`` per bin. Edges are rounded to a step between 0.001 and 0.01 standard
        deviations, so that they do not disclose the exact value of a patient. With fewer than 20 known values, the
        mapping contains only ``known``.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2 * SMALLEST:
        return {"known": protected_count(len(known), len(values))}
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
        "known": protected_count(len(known), len(values)),
        "mean": round(mean, decimals + 1),
        "sd": round(sd, decimals + 1),
        "edges": edges,
        "counts": number_counts(known, edges),
    }


def number_counts(known: NDArray[np.float64], edges: list[float]) -> list[int]:
    """Return the number of values in each bin. A value equal to an edge is in the bin above it. Values must be finite."""
    places = np.searchsorted(np.asarray(edges), known, side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def merged(edges: list[float], reference: list[int], batch: list[int]) -> tuple[list[float], list[int], list[int]]:
    """Merge neighbouring bins of two histograms until no bin of the batch has 1 to 9 recordings.

    Returns:
        Edges between the merged bins, and the merged counts of reference and batch.
    """
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

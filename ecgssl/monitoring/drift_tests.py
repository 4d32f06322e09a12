"""Is a batch like the reference? Tests and sizes of a difference, from counts alone.

A difference counts where chance does not explain it *and* it is large: with many recordings everything is significant, with
few anything may look large. P-values are corrected over all that is compared (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DRIFT, WATCH = (0.01, 0.2), (0.05, 0.1)
"""Below which corrected p-value, and from which size of the difference, it is drift, or to be watched."""

_COCHRAN = 5
"""Recordings that a cell must be expected to hold for the chi-square test (Cochran 1954)."""


def share_test(reference: tuple[int, int], batch: tuple[int, int]) -> tuple[float, float]:
    """Fisher's exact test of two shares.

    Args:
        reference, batch: count, and of how many.

    Returns:
        P-value and ``cramers_v``.
    """
    from scipy.stats import fisher_exact

    table = [[count, total - count] for count, total in (reference, batch)]
    return float(fisher_exact(table)[1]), cramers_v(table[0], table[1])


def category_test(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Chi-square test of two rows of counts; categories too rare for it are put together, and Fisher's tests two of them.

    Returns:
        P-value and ``cramers_v``, which is of all categories.
    """
    from scipy.stats import chi2_contingency

    size = cramers_v(reference, batch)
    table = np.array([reference, batch])
    table = table[:, table.sum(axis=0) > 0]
    smaller = table.sum(axis=1).min() / table.sum()
    rare = table.sum(axis=0) * smaller < _COCHRAN
    if rare.any():
        pooled = table[:, rare].sum(axis=1, keepdims=True)
        table = table[:, ~rare]
        if pooled.sum() * smaller < _COCHRAN and table.shape[1] > 1:
            rarest = int(table.sum(axis=0).argmin())
            pooled = pooled + table[:, [rarest]]
            table = np.delete(table, rarest, axis=1)
        table = np.hstack([table, pooled])
    if table.shape[1] == 1:
        return 1.0, size
    if table.shape[1] == 2:
        (a, b), (c, d) = table.tolist()
        return share_test((a, a + b), (c, c + d))[0], size
    return float(chi2_contingency(table, correction=False).pvalue), size


def cramers_v(reference: Sequence[int], batch: Sequence[int]) -> float:
    """Cramer's V of two rows of counts as if both were of equally many recordings: 0 for the same shares, 1 for nothing in
    common; by convention 0.1 is small and 0.3 medium (Cohen 1988)."""
    p, q = (np.asarray(row, dtype=float) / max(sum(row), 1) for row in (reference, batch))
    both = p + q > 0
    return float(np.sqrt(0.5 * np.sum((p - q)[both] ** 2 / (p + q)[both])))


def kolmogorov_smirnov(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Two-sample test on counts of bins.

    The distance is looked for at the edges only. It is at most that of the values themselves, so false alarms are not more.

    Returns:
        P-value (by the limiting distribution, as ``scipy.stats.ks_2samp`` has it) and D, 0 to 1.
    """
    from scipy.stats import kstwo

    n, m = sum(reference), sum(batch)
    d = float(np.abs(np.cumsum(reference) / n - np.cumsum(batch) / m).max())
    return float(np.clip(kstwo.sf(d, np.round(n * m / (n + m))), 0, 1)), d


def stability_index(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Population stability index: sum of (q - p) ln(q / p) over the bins, each with half a recording added.

    Returns:
        The index, and what it is on average where nothing has changed: (bins - 1) (1/n + 1/m).
    """
    n, m, bins = sum(reference), sum(batch), len(reference)
    p = (np.asarray(reference, dtype=float) + 0.5) / (n + 0.5 * bins)
    q = (np.asarray(batch, dtype=float) + 0.5) / (m + 0.5 * bins)
    return float(np.sum((q - p) * np.log(q / p))), (bins - 1) * (1 / n + 1 / m)


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected so that the chance of one false alarm among all is what they say (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    corrected: dict[int, float] = {}
    largest = 0.0
    for rank, place in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = largest
    return [corrected[i] for i in range(len(order))]


def level(p: float, size: float) -> str:
    """``drift``, ``watch`` or ``steady`` of a corrected p-value and the size (V or D) of the difference."""
    if p < DRIFT[0] and size >= DRIFT[1]:
        return "drift"
    return "watch" if p < WATCH[0] and size >= WATCH[1] else "steady"


def worst(levels: Sequence[Any]) -> str:
    """The gravest of some levels."""
    return next((name for name in ("drift", "watch") if name in levels), "steady")

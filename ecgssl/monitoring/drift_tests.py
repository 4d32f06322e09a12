"""Statistical tests and effect sizes for drift detection, computed from counts.

Drift is reported only if the p-value is small and the effect size is large. A p-value alone is not sufficient, because
with many recordings even negligible differences are significant. An effect size alone is not sufficient, because with
few recordings large differences occur by chance. P-values are corrected for the number of comparisons (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DRIFT, WATCH = (0.01, 0.2), (0.05, 0.1)
"""Levels ``drift`` and ``watch``: upper limit of the corrected p-value, and lower limit of the effect size."""

_COCHRAN = 5
"""Smallest expected count per cell for which the chi-square test is used (Cochran 1954)."""


def share_test(reference: tuple[int, int], batch: tuple[int, int]) -> tuple[float, float]:
    """Compare two proportions with Fisher's exact test.

    Args:
        reference, batch: count and total of the reference and of the batch.

    Returns:
        P-value and effect size (``cramers_v``).
    """
    from scipy.stats import fisher_exact

    table = [[count, total - count] for count, total in (reference, batch)]
    return float(fisher_exact(table)[1]), cramers_v(table[0], table[1])


def category_test(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Compare the category counts of reference and batch with the chi-square test.

    Rare categories are merged first. If two categories remain, Fisher's exact test is used. If one remains, the p-value
    is 1.

    Returns:
        P-value, and effect size (``cramers_v`` of all categories before merging).
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
    """Return Cramer's V of two rows of counts after scaling both to equal totals.

    The value is 0 for equal proportions and 1 if the rows have no category in common. An effect of 0.1 is small and one
    of 0.3 is medium (Cohen 1988).
    """
    p, q = (np.asarray(row, dtype=float) / max(sum(row), 1) for row in (reference, batch))
    both = p + q > 0
    return float(np.sqrt(0.5 * np.sum((p - q)[both] ** 2 / (p + q)[both])))


def kolmogorov_smirnov(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Compare two histograms with the two-sample Kolmogorov-Smirnov test.

    The test statistic is evaluated at the bin edges only. It is therefore at most that of the original values, and the
    test is conservative.

    Returns:
        Asymptotic p-value as in ``scipy.stats.ks_2samp``, and the test statistic D (0 to 1).
    """
    from scipy.stats import kstwo

    n, m = sum(reference), sum(batch)
    d = float(np.abs(np.cumsum(reference) / n - np.cumsum(batch) / m).max())
    return float(np.clip(kstwo.sf(d, np.round(n * m / (n + m))), 0, 1)), d


def stability_index(reference: Sequence[int], batch: Sequence[int]) -> tuple[float, float]:
    """Return the population stability index and its expected value. The index is the sum of (q - p) ln(q / p) over the bins.

    p and q are the shares of a bin in reference and batch. 0.5 is added to each count, so that empty bins do not
    give infinite terms.

    Returns:
        Index, and its approximate expected value without drift: (bins - 1) (1/n + 1/m) for n and m recordings.
    """
    n, m, bins = sum(reference), sum(batch), len(reference)
    p = (np.asarray(reference, dtype=float) + 0.5) / (n + 0.5 * bins)
    q = (np.asarray(batch, dtype=float) + 0.5) / (m + 0.5 * bins)
    return float(np.sum((q - p) * np.log(q / p))), (bins - 1) * (1 / n + 1 / m)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons with Holm's method (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    corrected: dict[int, float] = {}
    largest = 0.0
    for rank, place in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = largest
    return [corrected[i] for i in range(len(order))]


def level(p: float, size: float) -> str:
    """Return the level ``drift``, ``watch`` or ``steady`` of a comparison.

    Args:
        p: corrected p-value.
        size: effect size, Cramer's V or Kolmogorov-Smirnov D.
    """
    if p < DRIFT[0] and size >= DRIFT[1]:
        return "drift"
    return "watch" if p < WATCH[0] and size >= WATCH[1] else "steady"


def worst(levels: Sequence[Any]) -> str:
    """Return the most severe of several levels; ``steady`` for an empty list."""
    return next((name for name in ("drift", "watch") if name in levels), "steady")

"""Whether predicted probabilities mean what they say: Brier score, reliability bins, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from ecgssl.evaluation.statistics.metrics import Array

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of records of similar predicted probability.

    Args:
        records, positives: in the bin.
        predicted: mean predicted probability.
        observed: share of positives.
        low, high: Wilson interval of ``observed`` (treats recordings as independent).
    """

    records: int
    positives: int
    predicted: float
    observed: float
    low: float
    high: float


def brier(target: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference of probability and outcome over known targets (Brier 1950); NaN where none is known."""
    y, p = _known(target, probability)
    return float(np.mean((p - y) ** 2)) if len(y) else float("nan")


def reliability(
    target: ArrayLike, probability: ArrayLike, bins: int = BINS, confidence: float = 0.95
) -> list[ReliabilityBin]:
    """Bins of equal count by rank of the predicted probability, in ascending order, empty ones left out.

    Equal probabilities share their mean rank and so their bin: the result does not depend on the order of the records.

    Args:
        target: (N,) of 1, 0, NaN (left out).
        probability: (N,).
        bins: how many, at most.
        confidence: of the Wilson interval.
    """
    y, p = _known(target, probability)
    if not len(y):
        return []
    index = np.floor(bins * (rankdata(p) - 0.5) / len(p)).astype(int)
    found = []
    for k in np.unique(index):
        inside = index == k
        records, positives = int(inside.sum()), int(y[inside].sum())
        low, high = wilson(positives, records, confidence)
        predicted = float(np.sort(p[inside]).mean())
        found.append(ReliabilityBin(records, positives, predicted, positives / records, low, high))
    return found


def expected_calibration_error(target: ArrayLike, probability: ArrayLike, bins: int = BINS) -> float:
    """Mean of |observed - predicted| over ``reliability`` bins, weighted by records; NaN without known targets."""
    found = reliability(target, probability, bins)
    records = sum(b.records for b in found)
    return sum(b.records * abs(b.observed - b.predicted) for b in found) / records if found else float("nan")


def wilson(positives: int, records: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson, JASA 1927)."""
    z = float(norm.ppf((1 + confidence) / 2))
    share = positives / records
    centre = (share + z**2 / (2 * records)) / (1 + z**2 / records)
    half = z / (1 + z**2 / records) * float(np.sqrt(share * (1 - share) / records + z**2 / (4 * records**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _known(target: ArrayLike, probability: ArrayLike) -> tuple[Array, Array]:
    y, p = np.asarray(target, dtype=float), np.asarray(probability, dtype=float)
    known = ~np.isnan(y)
    return y[known], p[known]

"""Decision curves (Vickers & Elkin, Med Decis Making 2006): is acting on the model better than treating all, or none?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.evaluation.statistics.metrics import Array

RISKS = np.round(np.arange(0.01, 1.0, 0.01), 2)
"""Threshold risks of the curves."""


def net_benefit(target: ArrayLike, probability: ArrayLike, risks: ArrayLike = RISKS) -> Array:
    """True positives less false positives, weighted by the odds of the risk, per recording with known target.

    A risk of 0.2 says that one missed patient is as bad as four who are treated needlessly. Treating no one has 0.

    Args:
        target: (N,) of 1, 0, NaN (left out).
        probability: (N,) calibrated.
        risks: (T,) above 0, below 1: who is at or above it is treated.

    Returns:
        (T,); NaN without known targets.
    """
    y, p, t = np.asarray(target, dtype=float), np.asarray(probability, dtype=float), np.asarray(risks, dtype=float)
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    if not len(y):
        return np.full(t.shape, np.nan)
    sick, well = np.sort(p[y == 1]), np.sort(p[y == 0])
    hits, false = (len(part) - np.searchsorted(part, t, side="left") for part in (sick, well))
    return np.asarray((hits - false * t / (1 - t)) / len(y))


def treat_all(target: ArrayLike, risks: ArrayLike = RISKS) -> Array:
    """(T,) net benefit of treating everyone."""
    return net_benefit(target, np.ones(np.shape(np.asarray(target))), risks)

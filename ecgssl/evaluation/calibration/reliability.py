"""Calibration measures: Brier score, reliability bins, expected calibration error, calibration slope and intercept.

The intercept (calibration in the large) is ``a`` in ``logit P(event) = a + logit(p)``. It is 0 if the number of events
is predicted correctly, and negative if fewer events occur than predicted. The slope is ``b`` in ``logit P(event) = a +
b logit(p)``. It is below 1 if the predictions are too extreme and above 1 if they are too moderate (Cox, Biometrika
1958; Van Calster et al., BMC Medicine 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from ecgssl.evaluation.statistics.bootstrap import plain
from ecgssl.evaluation.statistics.metrics import Array

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of recordings with similar predicted probability.

    Args:
        records, positives: numbers of recordings and of positive recordings in the bin.
        predicted: mean predicted probability.
        observed: share of positive recordings.
        low, high: bounds of the Wilson interval of ``observed``, which treats recordings as independent.
    """

    records: int
    positives: int
    predicted: float
    observed: float
    low: float
    high: float


def brier(target: ArrayLike, probability: ArrayLike) -> float:
    """Return the Brier score (Brier 1950): the mean squared difference between probability and target.

    The result is NaN without known targets.
    """
    y, p = _known(target, probability)
    return float(np.mean((p - y) ** 2)) if len(y) else float("nan")


def reliability(
    target: ArrayLike, probability: ArrayLike, bins: int = BINS, confidence: float = 0.95
) -> list[ReliabilityBin]:
    """Return reliability bins: recordings in bins of about equal count, in ascending order of the predicted
    probability.

    Equal probabilities are always in the same bin, so the result does not depend on the order of the recordings. The list
    is empty without known targets.

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        probability: predicted probabilities (N,).
        bins: maximum number of bins.
        confidence: confidence level of the Wilson interval.
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
    """Return the expected calibration error: the mean of |observed - predicted| over the bins, weighted by recordings.

    The result is NaN without known targets.
    """
    found = reliability(target, probability, bins)
    records = sum(b.records for b in found)
    return sum(b.records * abs(b.observed - b.predicted) for b in found) / records if found else float("nan")


def wilson(positives: int, records: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of ``positives / records`` (Wilson, JASA 1927). ``records`` must be above 0."""
    z = float(norm.ppf((1 + confidence) / 2))
    share = positives / records
    centre = (share + z**2 / (2 * records)) / (1 + z**2 / records)
    half = z / (1 + z**2 / records) * float(np.sqrt(share * (1 - share) / records + z**2 / (4 * records**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _known(target: ArrayLike, probability: ArrayLike) -> tuple[Array, Array]:
    y, p = np.asarray(target, dtype=float), np.asarray(probability, dtype=float)
    known = ~np.isnan(y)
    return y[known], p[known]


_EDGE = 1e-12
"""Probabilities are clipped to this distance from 0 and 1, because the logits of 0 and 1 are infinite."""


@dataclass(frozen=True)
class Coefficient:
    """Coefficient with its confidence interval. If it is undefined, all values are NaN and ``reason`` is set."""

    value: float
    low: float
    high: float
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
        numbers: dict[str, Any] = {"value": plain(self.value), "low": plain(self.low), "high": plain(self.high)}
        return numbers | ({"undefined": self.reason} if self.reason else {})


def calibration_line(
    target: ArrayLike, probability: ArrayLike, patients: ArrayLike, confidence: float = 0.95
) -> tuple[Coefficient, Coefficient]:
    """Return calibration slope and intercept with normal intervals.

    The variance is the sandwich estimate with patients as clusters (Liang & Zeger 1986). Both coefficients are undefined
    if only one class is present. The slope is also undefined if all probabilities are equal or separate the classes.

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        probability: predicted probabilities (N,).
        patients: patient key (N,) of each recording.
        confidence: confidence level of the intervals.
    """
    y, p = np.asarray(target, dtype=float), np.asarray(probability, dtype=float)
    known = ~np.isnan(y)
    y, z = y[known], logit(np.clip(p[known], _EDGE, 1 - _EDGE))
    unit = np.unique(np.asarray(patients)[known], return_inverse=True)[1]
    if not 0 < y.sum() < len(y):
        nothing = _undefined("both classes are needed")
        return nothing, nothing
    ones = np.ones((len(z), 1))
    intercept = _fit(ones, z, y, unit, confidence)
    sick, well = z[y == 1], z[y == 0]
    if np.ptp(z) == 0:
        return _undefined("all probabilities are equal"), intercept
    if sick.min() >= well.max() or well.min() >= sick.max():
        return _undefined("the probability separates the classes completely"), intercept
    return _fit(np.column_stack([z, ones]), np.zeros(len(z)), y, unit, confidence), intercept


def _undefined(reason: str) -> Coefficient:
    return Coefficient(float("nan"), float("nan"), float("nan"), reason)


def _fit(design: Array, offset: Array, y: Array, unit: NDArray[np.integer], confidence: float) -> Coefficient:
    """Fit a logistic regression and return its first coefficient with its interval."""
    # standardise the columns, because the tolerance of the optimiser is absolute
    scale = np.where(np.ptp(design, axis=0) > 0, design.std(axis=0), 1.0)
    x = design / scale

    def loss(t: Array) -> tuple[float, Array]:
        line = offset + x @ t
        return float((np.logaddexp(0, line) - y * line).mean()), x.T @ (expit(line) - y) / len(y)

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 500}).x
    fitted = expit(offset + x @ found)
    scores = np.zeros((int(unit.max()) + 1, x.shape[1]))
    np.add.at(scores, unit, x * (y - fitted)[:, None])
    bread = np.linalg.pinv(x.T @ (x * (fitted * (1 - fitted))[:, None]))
    half = float(norm.ppf((1 + confidence) / 2) * np.sqrt((bread @ (scores.T @ scores) @ bread)[0, 0]) / scale[0])
    value = float(found[0] / scale[0])
    return Coefficient(value, value - half, value + half)

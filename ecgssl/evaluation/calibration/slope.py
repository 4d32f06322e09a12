"""Cox's calibration slope and intercept: is the predicted risk too extreme, and is it too high or too low on the whole?

The intercept is that of ``logit P(event) = a + logit(p)``, 0 where as many events happen as are predicted, and negative
where fewer do. The slope is that of ``logit P(event) = a + b logit(p)``, 1 where predictions are neither too extreme
(below 1) nor too timid (above 1) (Cox, Biometrika 1958; Van Calster et al., BMC Medicine 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm

from ecgssl.evaluation.statistics.bootstrap_ratios import plain
from ecgssl.evaluation.statistics.metrics import Array

_EDGE = 1e-12
"""Probabilities are kept this far from 0 and 1, where they have no logit."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient and its interval; NaN where undefined, and then ``reason`` says why."""

    value: float
    low: float
    high: float
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        numbers: dict[str, Any] = {"value": plain(self.value), "low": plain(self.low), "high": plain(self.high)}
        return numbers | ({"undefined": self.reason} if self.reason else {})


def calibration_line(
    target: ArrayLike, probability: ArrayLike, patients: ArrayLike, confidence: float = 0.95
) -> tuple[Coefficient, Coefficient]:
    """Slope and intercept with normal intervals from the sandwich variance summed by patient (Liang & Zeger 1986).

    Args:
        target: (N,) of 1, 0, NaN (left out).
        probability: (N,).
        patients: (N,) a key per recording.
        confidence: of the intervals.
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
    """The first coefficient of a logistic regression."""
    # standardised, so that one tolerance serves all scales
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

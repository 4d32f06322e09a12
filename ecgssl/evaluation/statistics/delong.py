"""DeLong's variance of the AUROC, and DeLong's test for two AUROCs, clustered by patient.

With one recording per patient, this is the method of DeLong, DeLong & Clarke-Pearson (Biometrics 1988). With several
recordings per patient, the placement values of the recordings are first summed by patient (Obuchowski, Biometrics 1997).
The computation takes O(N log N) (Sun & Xu 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from ecgssl.evaluation.statistics.metrics import Array


@dataclass(frozen=True)
class AurocEstimate:
    """AUROCs of several models on the same recordings, with their covariance.

    Args:
        auroc: AUROC (M,) of each model.
        covariance: covariance matrix (M, M); NaN if fewer than two patients are positive or fewer than two are
            negative.
    """

    auroc: Array
    covariance: Array

    def interval(self, model: int = 0, confidence: float = 0.95) -> tuple[float, float]:
        """Return the normal interval of one AUROC, clipped to 0..1; NaN if the covariance is NaN."""
        half = norm.ppf((1 + confidence) / 2) * np.sqrt(self.covariance[model, model])
        return float(max(self.auroc[model] - half, 0.0)), float(min(self.auroc[model] + half, 1.0))


@dataclass(frozen=True)
class AurocDifference:
    """Difference of two AUROCs (first - second) with its normal interval and two-sided p value.

    Interval and p value are NaN if the covariance is NaN (see ``AurocEstimate``).
    """

    difference: float
    low: float
    high: float
    p: float


def delong(target: ArrayLike, scores: ArrayLike, patients: ArrayLike | None = None) -> AurocEstimate:
    """Compute the AUROCs of one or more models and their covariance.

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        scores: scores (N, M), one column per model.
        patients: patient key (N,) of each recording; by default each recording is a separate patient.

    Raises:
        ValueError: only one class is present.
    """
    y, s = np.asarray(target, dtype=float), np.asarray(scores, dtype=float)
    known = ~np.isnan(y)
    y, s = y[known], s[known]
    unit = np.arange(len(y)) if patients is None else np.unique(np.asarray(patients)[known], return_inverse=True)[1]
    sick, well = y == 1, y == 0
    m, n = int(sick.sum()), int(well.sum())
    if not (m and n):
        raise ValueError("the AUROC requires both classes")
    # midrank among all recordings minus midrank in the class: number of lower scores in the other class, ties as 1/2
    overall = rankdata(s, axis=0)
    placed = np.empty_like(s)
    placed[sick] = (overall[sick] - rankdata(s[sick], axis=0)) / n
    placed[well] = 1 - (overall[well] - rankdata(s[well], axis=0)) / m
    auroc = placed[sick].mean(axis=0)
    # sum of (placement value - AUROC) over the recordings of each patient, (patients, M)
    units = int(unit.max()) + 1
    sums = {}
    for name, rows in (("sick", sick), ("well", well)):
        sums[name] = np.zeros((units, s.shape[1]))
        np.add.at(sums[name], unit[rows], placed[rows] - auroc)
    with_sick, with_well = len(np.unique(unit[sick])), len(np.unique(unit[well]))
    if min(with_sick, with_well) < 2:
        return AurocEstimate(auroc, np.full((s.shape[1], s.shape[1]), np.nan))
    x, z = sums["sick"], sums["well"]
    cross = x.T @ z * units / (units - 1)
    own = x.T @ x * with_sick / (with_sick - 1) / m**2 + z.T @ z * with_well / (with_well - 1) / n**2
    return AurocEstimate(auroc, own + (cross + cross.T) / (m * n))


def delong_difference(
    target: ArrayLike, first: ArrayLike, second: ArrayLike, patients: ArrayLike | None = None, confidence: float = 0.95
) -> AurocDifference:
    """Compare the AUROCs of two models on the same recordings. See ``delong`` for the arguments.

    Raises:
        ValueError: only one class is present.
    """
    found = delong(target, np.column_stack([first, second]), patients)
    difference = float(found.auroc[0] - found.auroc[1])
    contrast = np.array([1.0, -1.0])
    variance = float(contrast @ found.covariance @ contrast)
    if np.isnan(variance):
        return AurocDifference(difference, float("nan"), float("nan"), float("nan"))
    # a variance of 0 (for example, if both models rank all recordings equally) does not allow a division
    deviation = np.sqrt(max(variance, 0.0))
    if deviation < 1e-12:
        return AurocDifference(difference, difference, difference, 1.0 if abs(difference) < 1e-12 else 0.0)
    half = float(norm.ppf((1 + confidence) / 2)) * deviation
    return AurocDifference(
        difference, difference - half, difference + half, float(2 * norm.sf(abs(difference) / deviation))
    )

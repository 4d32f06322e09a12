"""Numbers that are ratios of sums over recordings, such as a sensitivity or a mean error, bootstrapped in one product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.evaluation.statistics.bootstrap import interval, patient_weights
from ecgssl.evaluation.statistics.metrics import Array


@dataclass(frozen=True)
class Estimate:
    """A number and what it was in every resample of patients.

    Args:
        value: NaN where undefined.
        replicates: (R,) NaN where undefined.
    """

    value: float
    replicates: Array

    def plain(self, confidence: float) -> dict[str, Any]:
        """``{"value", "low", "high", "dropped"}`` for JSON; undefined numbers are None."""
        found = interval(self.replicates, confidence)
        bounds = {"low": plain(found.low), "high": plain(found.high)}
        return {"value": plain(self.value), **bounds, "dropped": found.dropped}


def ratios(
    columns: Mapping[str, tuple[ArrayLike, ArrayLike]], patients: ArrayLike, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Sum of a numerator over sum of a denominator, over all recordings and over every resample of patients.

    Args:
        columns: name -> ((N,) numerators, (N,) denominators), finite; a denominator of 0 leaves the recording out where
            its numerator is 0, too.
        patients: (N,) a key per recording.
        resamples: R.
        seed: equal seeds and patients give equal draws.
    """
    # (2C, N): numerators, then denominators
    parts = np.array([np.asarray(c[side], dtype=np.float64) for side in (0, 1) for c in columns.values()])
    names, half = list(columns), len(columns)
    sums = np.concatenate([w.astype(np.float64) @ parts.T for w in patient_weights(patients, resamples, seed)])
    point, found = _divide(parts.sum(axis=1)[None], half)[0], _divide(sums, half)
    return {name: Estimate(float(point[k]), found[:, k]) for k, name in enumerate(names)}


def plain(value: float) -> float | None:
    """A number for JSON: None where it is NaN."""
    return None if isnan(value) else float(value)


def _divide(sums: Array, half: int) -> Array:
    top, bottom = sums[:, :half], sums[:, half:]
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)

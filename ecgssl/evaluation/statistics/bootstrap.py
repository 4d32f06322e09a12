"""Percentile intervals and paired comparisons by a bootstrap that resamples patients, not records.

Recordings of one patient are alike, so the independent unit is the patient (Field & Welsh, J R Stat Soc B 2007: cluster
bootstrap). Patients are drawn with replacement, each with all of their recordings. A resample in which a label has only
one class leaves that label out; how many did is reported beside the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.evaluation.statistics.metrics import Array, macro, ranking_metrics

METRICS = ("auroc", "auprc")
_CELLS = 4_000_000
"""Resamples x records weighted at a time (32 MB of float64 per temporary array)."""


@dataclass(frozen=True)
class Replicates:
    """Metrics of every resample.

    Args:
        values: metric -> (R, K); NaN where a resample leaves a label with one class.
        draws: what identifies the resamples; models are compared on the same draws only.
    """

    values: dict[str, Array]
    draws: tuple[int, int, int]

    def macro(self, metric: str) -> Array:
        """(R,) means over the labels that each resample defines."""
        return macro(self.values[metric])


@dataclass(frozen=True)
class Interval:
    """Percentile interval; ``low`` and ``high`` are NaN where fewer than two resamples are defined.

    Args:
        low, high: bounds.
        dropped: resamples that left the label (for a macro mean: any label) out.
    """

    low: float
    high: float
    dropped: int


@dataclass(frozen=True)
class Difference:
    """Paired difference ``first - second`` with its interval and two-sided p value."""

    low: float
    high: float
    p: float


def patient_weights(patients: ArrayLike, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Record weights of resamples of patients, in blocks.

    Args:
        patients: (N,) a key per record; the result depends on the keys, not on the order of the records.
        resamples: R.
        seed: of ``numpy.random.default_rng``.

    Yields:
        (r, N) how often each record is in each of the next r resamples.
    """
    keys, codes = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // max(len(codes), 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(len(keys), size=(size, len(keys)))
        drawn += len(keys) * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * len(keys)).reshape(size, len(keys))
        yield counts[:, codes]


def bootstrap(targets: Array, scores: Array, patients: ArrayLike, resamples: int, seed: int) -> Replicates:
    """AUROC and AUPRC of every label in every resample of patients.

    Args:
        targets: (N, K) of 1, 0, NaN (unknown).
        scores: (N, K).
        patients: (N,) a key per record.
        resamples: how many.
        seed: equal seeds and patients give equal draws, whatever the model.
    """
    keys = np.asarray(patients)
    values = {metric: np.empty((resamples, targets.shape[1])) for metric in METRICS}
    row = 0
    for weight in patient_weights(keys, resamples, seed):
        rows = slice(row, row + len(weight))
        for k in range(targets.shape[1]):
            results = ranking_metrics(targets[:, k], scores[:, k], weight)
            for metric, result in zip(METRICS, results, strict=True):
                values[metric][rows, k] = result
        row += len(weight)
    return Replicates(values, (seed, resamples, len(np.unique(keys))))


def interval(replicates: Array, confidence: float = 0.95) -> Interval:
    """Percentile interval of (R,) replicates; NaN ones are left out and counted."""
    defined = replicates[~np.isnan(replicates)]
    dropped = len(replicates) - len(defined)
    if len(defined) < 2:
        return Interval(float("nan"), float("nan"), dropped)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), dropped)


def macro_interval(replicates: Replicates, metric: str, defined: NDArray[np.bool_], confidence: float) -> Interval:
    """Interval of the macro mean; ``dropped`` counts resamples that left out a label of ``defined`` (K,)."""
    found = interval(replicates.macro(metric), confidence)
    incomplete = int(np.isnan(replicates.values[metric][:, defined]).any(axis=1).sum())
    return Interval(found.low, found.high, incomplete)


def paired_difference(first: Replicates, second: Replicates, metric: str, confidence: float = 0.95) -> Difference:
    """Bootstrap of the macro difference of two models on the same records.

    The p value inverts the percentile interval: twice the smaller share of resamples on either side of zero, with one
    added to both counts (Davison & Hinkley 1997, ch. 4), so it is never below 2 / (R + 1).

    Raises:
        ValueError: the two were not made from the same draws.
    """
    if first.draws != second.draws:
        raise ValueError("a paired comparison needs both models on the same patients, resamples and seed")
    difference = first.macro(metric) - second.macro(metric)
    difference = difference[~np.isnan(difference)]
    found = interval(difference, confidence)
    if np.isnan(found.low):
        return Difference(found.low, found.high, float("nan"))
    tail = min(int((difference <= 0).sum()), int((difference >= 0).sum()))
    return Difference(found.low, found.high, min(1.0, 2 * (tail + 1) / (len(difference) + 1)))


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

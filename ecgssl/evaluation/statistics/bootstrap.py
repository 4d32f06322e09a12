"""Confidence intervals and paired comparisons by a bootstrap of patients.

Recordings of one patient are alike, so the independent unit is the patient (cluster bootstrap; Field & Welsh, J R Stat Soc
B 2007). Patients are drawn with replacement, each with all of their recordings. A resample in which a label has only one
class leaves that label out. The number of such resamples is reported as ``dropped``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.evaluation.statistics.metrics import Array, Metric, Sample, macro, metrics_of, weighted_ratios

_CELLS = 4_000_000
"""Resamples x recordings weighted at a time (32 MB of float64 per temporary array)."""


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap replicates.

    Args:
        value: NaN where undefined.
        replicates: (R,) value in each resample of patients, NaN where undefined.
    """

    value: float
    replicates: Array

    def plain(self, confidence: float) -> dict[str, Any]:
        """Return ``{"value", "low", "high", "dropped"}`` for JSON; undefined numbers are ``None``."""
        return {"value": plain(self.value), **plain_all(interval(self.replicates, confidence))}


@dataclass(frozen=True)
class Replicates:
    """Metrics of every resample.

    Args:
        values: metric -> (R, K), NaN where undefined; K = 1 for metrics of the whole task.
        draws: seed, number of resamples and number of patients. Models are compared on equal draws only.
        point: metric -> (K,) values on the recordings as they are.
    """

    values: dict[str, Array]
    draws: tuple[int, int, int]
    point: dict[str, Array] = field(default_factory=dict)

    def macro(self, metric: str) -> Array:
        """Return the mean (R,) over the labels that each resample defines."""
        return macro(self.values[metric])

    def estimate(self, metric: str, label: int = 0) -> Estimate:
        """Return the estimate of one label."""
        return Estimate(self.point[metric][label], self.values[metric][:, label])

    def macro_estimate(self, metric: str) -> Estimate:
        """Return the estimate of the mean over the labels."""
        return Estimate(float(macro(self.point[metric])), self.macro(metric))


@dataclass(frozen=True)
class Interval:
    """Percentile interval; the bounds are NaN if fewer than two resamples are defined.

    Args:
        low, high: bounds.
        dropped: resamples that left the label out (for a macro mean: any label).
    """

    low: float
    high: float
    dropped: int


@dataclass(frozen=True)
class Difference:
    """Interval and two-sided p value of the paired difference ``first - second``."""

    low: float
    high: float
    p: float


def patient_weights(patients: ArrayLike, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the recording weights of resamples of patients, in blocks.

    Args:
        patients: (N,) a key per recording. The result depends on the keys, not on the order of the recordings.
        resamples: R.
        seed: of ``numpy.random.default_rng``.

    Yields:
        (r, N) how often each recording is in each of the next r resamples.
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


def bootstrap(
    targets: Array,
    outputs: Array,
    patients: ArrayLike,
    resamples: int,
    seed: int,
    metrics: Sequence[Metric] | None = None,
) -> Replicates:
    """Compute metrics on all recordings and in every resample of patients.

    Args:
        targets: (N, K), NaN for unknown.
        outputs: (N, K), as the metrics need them (``Sample``).
        patients: (N,) a key per recording.
        resamples: R.
        seed: equal seeds and patients give equal draws, whatever the model.
        metrics: of the registry; by default those of ``multilabel``.
    """
    keys = np.asarray(patients)
    chosen = metrics_of("multilabel") if metrics is None else list(metrics)

    def compute(weight: NDArray[np.int64] | None) -> dict[str, Array]:
        found: dict[str, list[Array]] = {m.name: [] for m in chosen}
        for k in range(targets.shape[1]):
            sample = Sample(targets[:, k], outputs[:, k], weight)
            for metric in (m for m in chosen if m.per_label):
                found[metric.name].append(metric.function(sample))
        for metric in (m for m in chosen if not m.per_label):
            found[metric.name].append(metric.function(Sample(targets, outputs, weight)))
        return {name: np.column_stack(columns) for name, columns in found.items()}

    point = {name: value[0] for name, value in compute(None).items()}
    blocks = [compute(weight) for weight in patient_weights(keys, resamples, seed)]
    values = {name: np.concatenate([block[name] for block in blocks]) for name in point}
    return Replicates(values, (seed, resamples, len(np.unique(keys))), point)


def ratios(
    columns: Mapping[str, tuple[ArrayLike, ArrayLike]], patients: ArrayLike, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Estimate ratios of sums over recordings, such as a sensitivity, on all recordings and in every resample.

    Args:
        columns: name -> ((N,) numerators, (N,) denominators), finite. A recording with both at 0 is left out.
        patients: (N,) a key per recording.
        resamples: R.
        seed: equal seeds and patients give equal draws.
    """
    point = weighted_ratios(columns)
    blocks = [weighted_ratios(columns, weight) for weight in patient_weights(patients, resamples, seed)]
    return {name: Estimate(float(point[name][0]), np.concatenate([b[name] for b in blocks])) for name in columns}


def interval(replicates: Array, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of (R,) replicates; NaN ones are left out and counted."""
    defined = replicates[~np.isnan(replicates)]
    dropped = len(replicates) - len(defined)
    if len(defined) < 2:
        return Interval(float("nan"), float("nan"), dropped)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), dropped)


def macro_interval(replicates: Replicates, metric: str, defined: NDArray[np.bool_], confidence: float) -> Interval:
    """Return the interval of the macro mean; ``dropped`` counts resamples without a label of ``defined`` (K,)."""
    found = interval(replicates.macro(metric), confidence)
    incomplete = int(np.isnan(replicates.values[metric][:, defined]).any(axis=1).sum())
    return Interval(found.low, found.high, incomplete)


def paired_difference(first: Replicates, second: Replicates, metric: str, confidence: float = 0.95) -> Difference:
    """Bootstrap the macro difference of two models on the same recordings.

    The p value inverts the percentile interval: twice the smaller share of resamples on either side of zero, with one
    added to both counts (Davison & Hinkley 1997, ch. 4). It is never below 2 / (R + 1).

    Raises:
        ValueError: the two were made from different draws.
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


def plain(value: float) -> float | None:
    """Return a number for JSON; ``None`` for NaN."""
    return None if isnan(value) else float(value)


def plain_all(numbers: object) -> dict[str, Any]:
    """Return the fields of an interval or difference for JSON."""
    return {name: plain(value) if isinstance(value, float) else value for name, value in vars(numbers).items()}

"""Confidence intervals and paired comparisons by a bootstrap of patients.

Recordings of one patient are correlated, so the resampled unit is the patient (cluster bootstrap; Field & Welsh, J R
Stat Soc B 2007). Patients are drawn with replacement, each with all of their recordings. The AUROC of a label, for
example, is undefined in a resample without positives or without negatives. The number of resamples in which a metric is
undefined is reported as ``dropped``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.evaluation.statistics.metrics import Array, Metric, Sample, macro, metrics_of, weighted_ratios

_CELLS = 1 << 25
"""Maximum number of resamples times recordings per block of weights, which take one byte each."""

FEWEST_TRUSTED = 20
"""Fewest patients with positive, and with negative, recordings for which an interval of the AUROC is trusted.

In the simulation of ``benchmarks/interval_coverage.py``, 95 % intervals contain the true AUROC in 80 to 85 % of the samples
with 5 positive patients, in 85 to 89 % with 10, in 91 to 94 % with 20, and in 93 to 95 % with 50 (docs/evaluation.md).
"""


@dataclass(frozen=True)
class Estimate:
    """Value of a metric with its bootstrap replicates.

    Args:
        value: value on all recordings; NaN if undefined.
        replicates: values (R,) in the resamples of patients; NaN if undefined.
    """

    value: float
    replicates: Array

    def plain(self, confidence: float) -> dict[str, Any]:
        """Return the dictionary ``{"value", "low", "high", "dropped"}`` for JSON; undefined values are ``None``."""
        return {"value": plain(self.value), **plain_all(interval(self.replicates, confidence))}


@dataclass(frozen=True)
class Replicates:
    """Metrics on all recordings and in every resample.

    Args:
        values: values (R, K) of each metric in the resamples, NaN if undefined; K = 1 for metrics of the whole task.
        draws: seed, number of resamples and number of patients. Paired comparisons require equal draws.
        point: values (K,) of each metric on all recordings.
    """

    values: dict[str, Array]
    draws: tuple[int, int, int]
    point: dict[str, Array] = field(default_factory=dict)

    def macro(self, metric: str) -> Array:
        """Return the mean (R,) of a metric over the labels. Labels that are undefined in a resample are ignored in it."""
        return macro(self.values[metric])

    def estimate(self, metric: str, label: int = 0) -> Estimate:
        """Return value and replicates of a metric for one label."""
        return Estimate(self.point[metric][label], self.values[metric][:, label])

    def macro_estimate(self, metric: str) -> Estimate:
        """Return value and replicates of the mean of a metric over the labels."""
        return Estimate(float(macro(self.point[metric])), self.macro(metric))


@dataclass(frozen=True)
class Interval:
    """Percentile interval. The bounds are NaN if the metric is defined in fewer than two resamples.

    Args:
        low, high: bounds of the interval.
        dropped: number of resamples in which the metric is undefined. ``macro_interval`` counts resamples in which it is
            undefined for at least one label.
    """

    low: float
    high: float
    dropped: int


@dataclass(frozen=True)
class Difference:
    """Percentile interval and two-sided p value of a paired difference ``first - second``; NaN if undefined."""

    low: float
    high: float
    p: float


def patient_weights(
    patients: ArrayLike, resamples: int, seed: int, cells: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield the weights of the recordings in bootstrap resamples of patients, in blocks of resamples.

    Args:
        patients: patient key (N,) of each recording. The result depends on the keys, not on the order of the
            recordings.
        resamples: number of resamples R.
        seed: seed of ``numpy.random.default_rng``.
        cells: largest number of weights in a block. The draws do not depend on it.

    Yields:
        Counts (r, N) of each recording in the next r resamples, as the transpose of a contiguous array.
    """
    keys, codes = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    block = max(1, (cells or _CELLS) // max(len(codes), 1))
    for start in range(0, resamples, block):
        # a patient is drawn more than 255 times with a probability below 1e-500
        counts = np.empty((len(keys), min(block, resamples - start)), dtype=np.uint8)
        for column in counts.T:
            column[:] = np.bincount(rng.integers(len(keys), size=len(keys)), minlength=len(keys))
        yield counts[codes].T


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
        targets: targets (N, K); NaN if unknown.
        outputs: outputs (N, K) in the form required by the metrics (see ``Sample``).
        patients: patient key (N,) of each recording.
        resamples: number of resamples R.
        seed: seed of the bootstrap. Equal seeds and patients give equal draws for all models.
        metrics: metrics of the registry; by default those of ``multilabel``.
    """
    keys = np.asarray(patients)
    chosen = metrics_of("multilabel") if metrics is None else list(metrics)

    labels = [Sample(targets[:, k], outputs[:, k]) for k in range(targets.shape[1])]
    task = Sample(targets, outputs)

    def compute(weight: NDArray[np.uint8] | None) -> dict[str, Array]:
        found: dict[str, list[Array]] = {m.name: [] for m in chosen}
        for label in labels:
            sample = replace(label, weight=weight, base=label)
            for metric in (m for m in chosen if m.per_label):
                found[metric.name].append(metric.function(sample))
        for metric in (m for m in chosen if not m.per_label):
            found[metric.name].append(metric.function(replace(task, weight=weight)))
        return {name: np.column_stack(columns) for name, columns in found.items()}

    point = {name: value[0] for name, value in compute(None).items()}
    blocks = [compute(weight) for weight in patient_weights(keys, resamples, seed)]
    values = {name: np.concatenate([block[name] for block in blocks]) for name in point}
    return Replicates(values, (seed, resamples, len(np.unique(keys))), point)


def ratios(
    columns: Mapping[str, tuple[ArrayLike, ArrayLike]], patients: ArrayLike, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Compute ratios of sums over recordings, such as the sensitivity, on all recordings and in every resample.

    Args:
        columns: finite numerators (N,) and denominators (N,) of each ratio, by name. Recordings where both are 0 have
            no effect.
        patients: patient key (N,) of each recording.
        resamples: number of resamples R.
        seed: seed of the bootstrap. Equal seeds and patients give equal draws.
    """
    point = weighted_ratios(columns)
    blocks = [weighted_ratios(columns, weight) for weight in patient_weights(patients, resamples, seed)]
    return {name: Estimate(float(point[name][0]), np.concatenate([b[name] for b in blocks])) for name in columns}


def interval(replicates: Array, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of replicates (R,); NaN values are ignored and counted as ``dropped``."""
    defined = replicates[~np.isnan(replicates)]
    dropped = len(replicates) - len(defined)
    if len(defined) < 2:
        return Interval(float("nan"), float("nan"), dropped)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), dropped)


def macro_interval(replicates: Replicates, metric: str, defined: NDArray[np.bool_], confidence: float) -> Interval:
    """Return the interval of the macro mean.

    ``dropped`` counts resamples in which any label of the mask ``defined`` (K,) is undefined.
    """
    found = interval(replicates.macro(metric), confidence)
    incomplete = int(np.isnan(replicates.values[metric][:, defined]).any(axis=1).sum())
    return Interval(found.low, found.high, incomplete)


def paired_difference(first: Replicates, second: Replicates, metric: str, confidence: float = 0.95) -> Difference:
    """Compare the macro means of two models on the same recordings by a paired bootstrap.

    The p value is min(1, 2 (t + 1) / (R + 1)) (Davison & Hinkley 1997, ch. 4). R is the number of resamples with a
    defined difference, and t is the smaller of the numbers of differences <= 0 and >= 0. Interval and p value are NaN if
    R is below 2.

    Raises:
        ValueError: the replicates are from different bootstrap draws.
    """
    if first.draws != second.draws:
        raise ValueError("a paired comparison requires the same patients, resamples and seed for both models")
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
    """Return the fields of an interval or difference as a JSON-compatible dictionary, with ``None`` for NaN."""
    return {name: plain(value) if isinstance(value, float) else value for name, value in vars(numbers).items()}

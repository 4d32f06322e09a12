"""Registry of the evaluation metrics, and the functions that compute them.

``METRICS`` has one entry per metric. To report a new metric, add an entry. The metric is then evaluated, with a
bootstrap interval, for its kinds of target. Set ``paired`` to include it in paired comparisons.

AUROC and AUPRC follow scikit-learn. AUROC is the trapezoidal area under the ROC curve, in which ties count one half.
AUPRC is ``average_precision_score``: the sum over distinct scores of precision times the increase in recall.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config.manifest import OutputKind
from ecgssl.evaluation.statistics.ranking import Array, Ranking, Weights

_CELLS = 1 << 20
"""Maximum number of resamples and columns times recordings that are converted to floats at a time (8 MB)."""
_NORMAL = 1.96
"""Number of standard deviations between the bias and a limit of agreement (Bland & Altman, Lancet 1986)."""


@dataclass(frozen=True)
class Sample:
    """Targets and outputs of one label, with the weights of the recordings in bootstrap resamples.

    Args:
        target: targets (N,), NaN if unknown; (N, K) for a metric of the whole task.
        output: logits (multilabel), calibrated probabilities (multiclass) or calibrated values (regression), in the
            shape of ``target``.
        weight: non-negative weights (R, N), one row per resample; ``None`` for the original recordings (R = 1).
        base: the same recordings without weights, if there are several samples of them; they are ranked once.
    """

    target: Array
    output: Array
    weight: Weights | None = None
    base: Sample | None = None

    @cached_property
    def ranking(self) -> Ranking:
        """Return the recordings in descending order of the output."""
        return Ranking.of(self.target, self.output) if self.base is None else self.base.ranking

    @cached_property
    def areas(self) -> tuple[Array, Array]:
        """Return AUROC (R,) and AUPRC (R,); NaN if the weighted recordings have only one class."""
        return self.ranking.areas(self.weight)

    @cached_property
    def errors(self) -> dict[str, Array]:
        """Return error statistics (R,) over the known targets of a regression.

        The keys are ``mae``, ``bias``, ``square`` (mean squared error), ``variance`` (of the targets) and ``spread``
        (standard deviation of the errors, with n - 1 in the denominator).
        """
        known = ~np.isnan(self.target)
        count, error = known.astype(float), np.where(known, self.output - self.target, 0.0)
        # centre the values first, to avoid cancellation in the squares
        centre = self.target[known].mean() if known.any() else 0.0
        centred = np.where(known, self.target - centre, 0.0)
        columns = {"mae": np.abs(error), "bias": error, "square": error**2, "mean": centred, "spread": centred**2}
        of = weighted_ratios({name: (column, count) for name, column in columns.items()}, self.weight)
        n = max(int(known.sum()), 1)
        variance = np.maximum(of["spread"] - of["mean"] ** 2, 0.0)
        spread = np.sqrt(np.maximum(of["square"] - of["bias"] ** 2, 0.0) * (n / (n - 1) if n > 1 else np.nan))
        return {"mae": of["mae"], "bias": of["bias"], "square": of["square"], "variance": variance, "spread": spread}


@dataclass(frozen=True)
class Metric:
    """Evaluation metric: its function, and where it is used.

    Args:
        name: key of the metric in the results.
        title: column heading in a report.
        kinds: kinds of target that the metric applies to.
        function: function that returns the values (R,) for a ``Sample``, NaN if undefined.
        higher_is_better: whether higher values are better; not used for the bias and the limits of agreement.
        per_label: true if the metric is computed for each label, false if it is computed once for (N, K) targets and
            outputs.
        averaged: whether the mean over the labels, or the single value of the task, is reported under ``macro``.
        paired: whether models are compared by the mean over the labels, with an interval and a p value.
        in_subgroups: whether the metric is reported by subgroup. Use ``False`` for proportions such as the sensitivity,
            because the size of a small group could be inferred from them.
        headline: kinds of target for which reports show the metric in the table over all labels.
    """

    name: str
    title: str
    kinds: tuple[OutputKind, ...]
    function: Callable[[Sample], Array]
    higher_is_better: bool = True
    per_label: bool = True
    averaged: bool = True
    paired: bool = False
    in_subgroups: bool = False
    headline: tuple[OutputKind, ...] = ()


def auroc(sample: Sample) -> Array:
    """Return the area under the ROC curve; NaN if the weighted recordings have only one class."""
    return sample.areas[0]


def auprc(sample: Sample) -> Array:
    """Return the average precision; NaN if the weighted recordings have only one class."""
    return sample.areas[1]


def accuracy(sample: Sample) -> Array:
    """Return the accuracy: the share of recordings whose most probable class is the true class."""
    right = (sample.target.argmax(axis=1) == sample.output.argmax(axis=1)).astype(float)
    return weighted_ratios({"accuracy": (right, np.ones(len(right)))}, sample.weight)["accuracy"]


def balanced_accuracy(sample: Sample) -> Array:
    """Return the balanced accuracy: the mean recall of the classes that occur."""
    called = (sample.output.argmax(axis=1)[:, None] == np.arange(sample.output.shape[1])).astype(float)
    columns = {str(k): (y * c, y) for k, (y, c) in enumerate(zip(sample.target.T, called.T, strict=True))}
    return macro(np.column_stack(list(weighted_ratios(columns, sample.weight).values())))


def r2(sample: Sample) -> Array:
    """Return the coefficient of determination; NaN if all targets are equal."""
    variance = sample.errors["variance"]
    explained = 1 - sample.errors["square"] / np.where(variance > 0, variance, 1.0)
    return np.where(variance > 0, explained, np.nan)


_RANKED: tuple[OutputKind, ...] = ("multilabel", "multiclass")
_CLASSES: tuple[OutputKind, ...] = ("multiclass",)
_NUMBERS: tuple[OutputKind, ...] = ("regression",)

METRICS: tuple[Metric, ...] = (
    Metric("auroc", "mean AUROC", _RANKED, auroc, paired=True, in_subgroups=True, headline=_RANKED),
    Metric("auprc", "mean AUPRC", _RANKED, auprc, paired=True, headline=("multilabel",)),
    Metric("accuracy", "accuracy", _CLASSES, accuracy, per_label=False, paired=True, headline=_CLASSES),
    Metric("balanced_accuracy", "balanced accuracy", _CLASSES, balanced_accuracy, per_label=False, headline=_CLASSES),
    Metric("mae", "mean absolute error", _NUMBERS, lambda s: s.errors["mae"], higher_is_better=False,
           paired=True, in_subgroups=True, headline=_NUMBERS),
    Metric("rmse", "root mean squared error", _NUMBERS, lambda s: np.sqrt(s.errors["square"]), higher_is_better=False,
           paired=True, headline=_NUMBERS),
    Metric("r2", "R²", _NUMBERS, r2, paired=True, headline=_NUMBERS),
    Metric("bias", "bias", _NUMBERS, lambda s: s.errors["bias"], averaged=False, in_subgroups=True),
    Metric("limit_low", "lower limit of agreement", _NUMBERS, averaged=False,
           function=lambda s: s.errors["bias"] - _NORMAL * s.errors["spread"]),
    Metric("limit_high", "upper limit of agreement", _NUMBERS, averaged=False,
           function=lambda s: s.errors["bias"] + _NORMAL * s.errors["spread"]),
)  # fmt: skip
"""Registry of all metrics, in the order in which they are reported."""


def metrics_of(kind: OutputKind) -> list[Metric]:
    """Return the metrics of a kind of target."""
    return [metric for metric in METRICS if kind in metric.kinds]


def headline_metrics(kind: OutputKind) -> list[Metric]:
    """Return the metrics that reports show in the table over all labels, for a kind of target."""
    return [metric for metric in METRICS if kind in metric.headline]


def metric_named(name: str) -> Metric:
    """Return the metric with the given name.

    Raises:
        KeyError: no metric has this name.
    """
    return {metric.name: metric for metric in METRICS}[name]


def ranking_metrics(target: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> tuple[Array, Array]:
    """Return AUROC (R,) and AUPRC (R,) of one label. See ``cumulative_counts`` for arguments and errors."""
    return Ranking.of(target, score).areas(None if weight is None else np.asarray(weight))


def weighted_ratios(
    columns: Mapping[str, tuple[ArrayLike, ArrayLike]], weight: ArrayLike | None = None
) -> dict[str, Array]:
    """Return the sum of each numerator over the sum of its denominator, for every row of weights.

    Args:
        columns: finite numerators (N,) and denominators (N,) of each ratio, by name. An array of several ratios is summed
            once.
        weight: weights (R, N), one row per resample; ``None`` for unweighted sums (R = 1).

    Returns:
        Values (R,) of each ratio, by name; NaN if the denominator is 0.
    """
    sides = {id(side): np.asarray(side) for pair in columns.values() for side in pair}
    place = {key: number for number, key in enumerate(sides)}
    sums = _sums(list(sides.values()), weight)
    top, bottom = (sums[:, [place[id(pair[side])] for pair in columns.values()]] for side in (0, 1))
    found = _where(top, bottom, bottom != 0)
    return {name: found[:, k] for k, name in enumerate(columns)}


def _sums(sides: Sequence[NDArray[Any]], weight: ArrayLike | None) -> Array:
    """Return the sums (R, C) of C columns (N,) for every row of weights (R, N).

    Some recordings at a time are converted to floats, because the columns of many labels would need much memory as floats.
    """
    if weight is None:
        return np.array([[side.sum(dtype=np.float64) for side in sides]])
    w = np.asarray(weight)
    sums = np.zeros((len(w), len(sides)))
    masks = [number for number, side in enumerate(sides) if side.dtype == np.bool_]
    numbers = [number for number, side in enumerate(sides) if side.dtype != np.bool_]
    # numbers of at most 2^16 recordings with weights of one byte are exact in single precision
    exact: type[Any] = np.float32 if w.dtype == np.uint8 else np.float64
    block = min(max(1, _CELLS // (len(w) + len(sides))), 1 << 16)
    for start in range(0, w.shape[1], block):
        part = w[:, start : start + block]
        for chosen, kind in ((masks, exact), (numbers, np.float64)):
            if chosen:
                columns: NDArray[Any] = np.array(
                    [sides[number][start : start + block] for number in chosen], dtype=kind
                )
                sums[:, chosen] += part.astype(kind) @ columns.T
    return sums


@dataclass(frozen=True)
class Support:
    """Numbers of recordings from which the metrics of a label are computed.

    Args:
        records: number of recordings with a known target.
        positives: number of positive recordings.
        unknown: number of recordings without a known target.
        undefined: reason why the metrics are undefined; empty if they are defined.
    """

    records: int
    positives: int
    unknown: int
    undefined: str


def support(target: ArrayLike) -> Support:
    """Count the recordings of a label from its targets (N,): 1, 0 or NaN (unknown)."""
    y = np.asarray(target, dtype=float)
    known = int((~np.isnan(y)).sum())
    positives = int(np.nansum(y))
    if not known:
        reason = "no record with a known target"
    elif not positives:
        reason = "no positive record"
    elif positives == known:
        reason = "no negative record"
    else:
        reason = ""
    return Support(known, positives, len(y) - known, reason)


def macro(values: ArrayLike) -> Array:
    """Return the mean over the last axis (labels). NaN values are ignored; the mean is NaN if all values are NaN."""
    v = np.asarray(values, dtype=float)
    defined = ~np.isnan(v)
    count = defined.sum(-1)
    return _where(np.where(defined, v, 0.0).sum(-1), count, count > 0)


def _where(numerator: Array, denominator: Array, defined: NDArray[np.bool_]) -> Array:
    """Return ``numerator / denominator``, with NaN where ``defined`` is false."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=defined)

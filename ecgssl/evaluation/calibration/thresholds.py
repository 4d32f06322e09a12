"""Cut-offs on a calibrated probability, chosen on validation and frozen: at or above one, a recording is called positive.

They lie halfway between neighbouring probabilities of validation, so that rounding in another runtime does not move a
recording across, and so that the validation recording beside one does not decide it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.evaluation.calibration.calibrators import MIN_EVENTS
from ecgssl.evaluation.statistics.bootstrap import Estimate
from ecgssl.evaluation.statistics.metrics import Array, cumulative_counts

YOUDEN = "youden"


@dataclass(frozen=True)
class Threshold:
    """A named cut-off.

    Args:
        value: called positive at or above it; None where there is none.
        sensitivity, specificity: on the recordings that it was chosen on; None where there is none.
        reason: why there is none; empty where there is one.
    """

    value: float | None
    sensitivity: float | None = None
    specificity: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a threshold has either a value or a reason for having none")
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"threshold {self.value} is no probability")


def threshold_names(sensitivities: Sequence[float], specificities: Sequence[float]) -> list[str]:
    """Names of the thresholds that ``fit_thresholds`` gives, such as ``youden`` and ``sensitivity_0.90``."""
    return [
        YOUDEN,
        *(_name("sensitivity", s) for s in sensitivities),
        *(_name("specificity", s) for s in specificities),
    ]


def fit_thresholds(
    probabilities: ArrayLike,
    targets: ArrayLike,
    sensitivities: Sequence[float] = (),
    specificities: Sequence[float] = (),
) -> dict[str, Threshold]:
    """Choose cut-offs for one label.

    ``youden`` has the largest sensitivity + specificity - 1 (Youden, Cancer 1950), the lowest such where several have;
    ``sensitivity_S`` is the highest cut-off whose sensitivity is at least S, and ``specificity_S`` the lowest whose
    specificity is. One that is reached only by calling every recording positive, or none, is not given.

    Args:
        probabilities: (N,) calibrated.
        targets: (N,) of 1, 0 and NaN (unknown, left out).
        sensitivities, specificities: wanted, each above 0 and below 1.
    """
    y = np.asarray(targets, dtype=float)
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    names = threshold_names(sensitivities, specificities)
    if min(positives, negatives) < MIN_EVENTS:
        reason = f"{positives} positive and {negatives} negative recordings, {MIN_EVENTS} of each needed"
        return {name: Threshold(None, reason=reason) for name in names}
    p = np.asarray(probabilities, dtype=float)
    distinct = np.unique(p[~np.isnan(y)])[::-1]
    # counts at or above each distinct probability but the lowest, which calls everything positive
    hits, false = (counts[0, :-1] for counts in cumulative_counts(y, p))
    cuts = (distinct[:-1] + distinct[1:]) / 2
    sensitivity, specificity = hits / positives, 1 - false / negatives

    def at(found: np.ndarray, reason: str, last: bool) -> Threshold:
        if not len(found):
            return Threshold(None, reason=reason)
        k = found[-1 if last else 0]
        return Threshold(float(cuts[k]), float(sensitivity[k]), float(specificity[k]))

    # in whole recordings: sums of rounded rates would break ties by chance
    gain = hits * negatives - false * positives
    best = np.flatnonzero(gain == gain.max()) if len(gain) and gain.max() > 0 else np.array([], dtype=int)
    chosen = {YOUDEN: at(best, "no cut-off is better than chance", last=True)}
    for wanted in sensitivities:
        enough = np.flatnonzero(hits >= wanted * positives - 1e-9)
        chosen[_name("sensitivity", wanted)] = at(
            enough, "reached only by calling every recording positive", last=False
        )
    for wanted in specificities:
        enough = np.flatnonzero((negatives - false >= wanted * negatives - 1e-9) & (hits > 0))
        chosen[_name("specificity", wanted)] = at(enough, "reached only without a true positive", last=True)
    return chosen


def _name(kind: str, wanted: float) -> str:
    return f"{kind}_{wanted:.2f}"


RATES = ("sensitivity", "specificity", "ppv", "npv")
Columns = dict[str, tuple[Array, Array]]


def rate_columns(target: ArrayLike, called: ArrayLike) -> Columns:
    """The four rates for ``ratios``; recordings with unknown target count nowhere.

    ``ppv`` and ``npv`` are those at the prevalence of these recordings.

    Args:
        target: (N,) of 1, 0, NaN.
        called: (N,) bool.
    """
    y, positive = np.asarray(target, dtype=float), np.asarray(called, dtype=bool)
    sick, well, known = y == 1, y == 0, ~np.isnan(y)
    pairs = {
        "sensitivity": (sick & positive, sick),
        "specificity": (well & ~positive, well),
        "ppv": (sick & positive, known & positive),
        "npv": (well & ~positive, known & ~positive),
    }
    return {name: (top.astype(float), bottom.astype(float)) for name, (top, bottom) in pairs.items()}


def describe_point(
    value: float, target: ArrayLike, called: ArrayLike, found: dict[str, Estimate], confidence: float
) -> dict[str, Any]:
    """The threshold, its table of counts and its rates with their intervals, for JSON.

    A rate without a recording to count is None, with its reason under ``undefined``.
    """
    y, positive = np.asarray(target, dtype=float), np.asarray(called, dtype=bool)
    counts = {
        "tp": int(((y == 1) & positive).sum()),
        "fp": int(((y == 0) & positive).sum()),
        "fn": int(((y == 1) & ~positive).sum()),
        "tn": int(((y == 0) & ~positive).sum()),
    }
    empty = {
        "sensitivity": "no positive recording",
        "specificity": "no negative recording",
        "ppv": "none is called positive",
        "npv": "none is called negative",
    }
    rates = {name: found[name].plain(confidence) for name in RATES}
    undefined = {name: empty[name] for name in RATES if rates[name]["value"] is None}
    return {"value": value, **counts, **rates} | ({"undefined": undefined} if undefined else {})


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

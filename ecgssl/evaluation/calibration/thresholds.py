"""Thresholds on calibrated probabilities, their sensitivity and specificity, and net benefit.

A recording is classified as positive if its probability is at or above the threshold. Thresholds are halfway between two
neighbouring probabilities, so that small rounding differences in another runtime do not change the classification of the
recordings used to choose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.evaluation.calibration.calibrators import MIN_EVENTS, Array

if TYPE_CHECKING:
    from ecgssl.evaluation.statistics.bootstrap import Estimate

YOUDEN = "youden"


@dataclass(frozen=True)
class Threshold:
    """Threshold with its sensitivity and specificity.

    Args:
        value: smallest probability that is classified as positive; ``None`` if no threshold could be chosen.
        sensitivity, specificity: values for the recordings used to choose the threshold.
        reason: reason why no threshold could be chosen; empty if one was chosen.
    """

    value: float | None
    sensitivity: float | None = None
    specificity: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a threshold needs either a value or a reason")
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"threshold {self.value} is outside 0..1")


def threshold_names(sensitivities: Sequence[float], specificities: Sequence[float]) -> list[str]:
    """Return the names of the thresholds of ``fit_thresholds``, for example ``youden`` and ``sensitivity_0.90``."""
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
    """Choose thresholds for one label.

    ``youden`` maximises sensitivity + specificity - 1 (Youden, Cancer 1950); of several maxima, the lowest threshold is
    used. ``sensitivity_S`` is the highest threshold with a sensitivity of at least S. ``specificity_S`` is the lowest
    threshold with a specificity of at least S and at least one true positive. Thresholds that classify all recordings as
    positive are not considered. If no threshold meets the criterion (for ``youden``: is better than chance), or with fewer
    than ten positive or negative recordings, the value is ``None``.

    Args:
        probabilities: calibrated probabilities (N,).
        targets: targets (N,): 1, 0 or NaN (unknown; ignored).
        sensitivities, specificities: required values, each above 0 and below 1.
    """
    y = np.asarray(targets, dtype=float)
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    names = threshold_names(sensitivities, specificities)
    if min(positives, negatives) < MIN_EVENTS:
        reason = f"{positives} positive and {negatives} negative recordings, {MIN_EVENTS} of each needed"
        return {name: Threshold(None, reason=reason) for name in names}
    p = np.asarray(probabilities, dtype=float)
    distinct = np.unique(p[~np.isnan(y)])[::-1]
    # exclude the lowest probability, because this threshold would classify all recordings as positive
    # import here, because scoring uses thresholds but no metrics
    from ecgssl.evaluation.statistics.ranking import cumulative_counts

    hits, false = (counts[0, :-1] for counts in cumulative_counts(y, p))
    cuts = (distinct[:-1] + distinct[1:]) / 2
    sensitivity, specificity = hits / positives, 1 - false / negatives

    def at(found: np.ndarray, reason: str, last: bool) -> Threshold:
        if not len(found):
            return Threshold(None, reason=reason)
        k = found[-1 if last else 0]
        return Threshold(float(cuts[k]), float(sensitivity[k]), float(specificity[k]))

    # compare integer counts instead of rates, because rounding errors would break ties
    gain = hits * negatives - false * positives
    best = np.flatnonzero(gain == gain.max()) if len(gain) and gain.max() > 0 else np.array([], dtype=int)
    chosen = {YOUDEN: at(best, "no cut-off is better than chance", last=True)}
    for required in sensitivities:
        enough = np.flatnonzero(hits >= required * positives - 1e-9)
        chosen[_name("sensitivity", required)] = at(
            enough, "reached only by calling every recording positive", last=False
        )
    for required in specificities:
        enough = np.flatnonzero((negatives - false >= required * negatives - 1e-9) & (hits > 0))
        chosen[_name("specificity", required)] = at(enough, "reached only without a true positive", last=True)
    return chosen


def _name(kind: str, required: float) -> str:
    return f"{kind}_{required:.2f}"


RATES = ("sensitivity", "specificity", "ppv", "npv")
Columns = dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]


def rate_columns(target: ArrayLike, called: ArrayLike) -> Columns:
    """Return numerators and denominators of sensitivity, specificity, PPV and NPV, as input of ``ratios``.

    Unknown targets are ignored. PPV and NPV are valid only for the prevalence in these recordings. With one class, they
    are 0 or 1 for any model, so they are undefined.

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        called: mask (N,) of the recordings classified as positive.
    """
    y, positive = np.asarray(target, dtype=float), np.asarray(called, dtype=bool)
    sick, well = y == 1, y == 0
    judged = (sick | well) & bool(sick.any() and well.any())
    return {
        "sensitivity": (sick & positive, sick),
        "specificity": (well & ~positive, well),
        "ppv": (sick & positive, judged & positive),
        "npv": (well & ~positive, judged & ~positive),
    }


def describe_point(
    value: float, target: ArrayLike, called: ArrayLike, found: dict[str, Estimate], confidence: float
) -> dict[str, Any]:
    """Describe a threshold as a JSON-compatible dictionary: value, confusion counts, and rates with intervals.

    If a rate is undefined, its ``value`` is ``None``, and ``undefined`` contains the reason.
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
    one_class = next((empty[rate] for rate, of in (("sensitivity", 1), ("specificity", 0)) if not (y == of).any()), "")
    if one_class:
        empty |= {"ppv": one_class, "npv": one_class}
    rates = {name: found[name].plain(confidence) for name in RATES}
    undefined = {name: empty[name] for name in RATES if rates[name]["value"] is None}
    return {"value": value, **counts, **rates} | ({"undefined": undefined} if undefined else {})


RISKS = np.round(np.arange(0.01, 1.0, 0.01), 2)
"""Threshold risks at which decision curves are evaluated: 0.01 to 0.99 in steps of 0.01."""


def net_benefit(target: ArrayLike, probability: ArrayLike, risks: ArrayLike = RISKS) -> Array:
    """Return the net benefit at each threshold risk (Vickers & Elkin, Med Decis Making 2006).

    The net benefit is the number of true positives minus the number of false positives times the odds of the risk,
    divided by the number of recordings with a known target. At a risk of 0.2, one missed patient counts as much as four
    patients treated unnecessarily. Treating no patient has a net benefit of 0.

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        probability: calibrated probabilities (N,).
        risks: threshold risks (T,), above 0 and below 1; patients at or above the risk are treated.

    Returns:
        Net benefit (T,); NaN without known targets.
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
    """Return the net benefit (T,) of treating all patients, for threshold risks (T,)."""
    return net_benefit(target, np.ones(np.shape(np.asarray(target))), risks)

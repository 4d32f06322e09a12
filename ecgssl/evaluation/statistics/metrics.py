"""AUROC and AUPRC per label and their macro mean over the labels for which they are defined.

Both follow scikit-learn's definitions: AUROC is the trapezoid under the ROC curve (ties count one half), AUPRC is
``average_precision_score``, the sum of precision times the step in recall over distinct scores. ``ranking_metrics``
takes rows of record weights, so that one sort serves every bootstrap resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def cumulative_counts(target: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> tuple[Array, Array]:
    """True and false positives when every record of at least a score is called positive, for falling distinct scores.

    Args:
        target: (N,) of 1, 0 and NaN; records with NaN (unknown) have no part in it.
        score: (N,) finite where the target is known.
        weight: (R, N) non-negative, one row per resample; none for one row of ones.

    Returns:
        True and false positives, each (R, D) for D distinct scores.

    Raises:
        ValueError: a score is not finite, or a target is none of 0, 1, NaN.
    """
    y, s = np.asarray(target, dtype=float), np.asarray(score, dtype=float)
    w = np.ones((1, len(y))) if weight is None else np.asarray(weight)
    known = np.flatnonzero(~np.isnan(y))
    if not np.isin(y[known], (0.0, 1.0)).all():
        raise ValueError("targets must be 0, 1 or NaN (unknown)")
    if not np.isfinite(s[known]).all():
        raise ValueError("scores must be finite")
    order = known[np.argsort(-s[known], kind="stable")]
    s, y = s[order], y[order]
    ends = np.flatnonzero(s[1:] != s[:-1])
    ends = np.append(ends, len(s) - 1) if len(s) else ends
    w = w[:, order].astype(np.float64)
    total = np.cumsum(w, axis=1)[:, ends]
    hits = np.cumsum(w * y, axis=1)[:, ends]
    return hits, total - hits


def ranking_metrics(target: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> tuple[Array, Array]:
    """AUROC and AUPRC of one label.

    Args:
        target, score, weight: as for ``cumulative_counts``.

    Returns:
        AUROC (R,) and AUPRC (R,); NaN where the weighted records hold only one class.

    Raises:
        ValueError: a score is not finite, or a target is none of 0, 1, NaN.
    """
    hits, false = cumulative_counts(target, score, weight)
    nan = np.full(len(hits), np.nan)
    if not hits.shape[1]:
        return nan, nan.copy()
    positives, negatives = hits[:, -1], false[:, -1]
    defined = (positives > 0) & (negatives > 0)
    step_hits = np.diff(hits, axis=1, prepend=0.0)
    step_false = np.diff(false, axis=1, prepend=0.0)
    area = (step_false * (hits - step_hits / 2)).sum(1)
    total = hits + false
    precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
    recalled = (step_hits * precision).sum(1)
    auroc = np.divide(area, positives * negatives, out=nan.copy(), where=defined)
    auprc = np.divide(recalled, positives, out=nan, where=defined)
    return auroc, auprc


@dataclass(frozen=True)
class Support:
    """How many records a label's metric rests on.

    Args:
        records: with a known target.
        positives: of these.
        unknown: records without a known target.
        undefined: why there is no metric; empty where there is one.
    """

    records: int
    positives: int
    unknown: int
    undefined: str


def support(target: ArrayLike) -> Support:
    """Count what a label's metrics rest on, and say why they are undefined where they are."""
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
    """Mean over the last axis (labels), leaving out undefined (NaN) ones; NaN where none is defined."""
    v = np.asarray(values, dtype=float)
    defined = ~np.isnan(v)
    count = defined.sum(-1)
    total = np.where(defined, v, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def macro_metrics(targets: Array, scores: Array, names: Sequence[str]) -> dict[str, object]:
    """Point estimates without intervals, for selection during training.

    Args:
        targets: (N, K) of 1, 0, NaN.
        scores: (N, K).
        names: K labels.

    Returns:
        ``{"auroc", "auprc": macro mean or None, "labels": number defined, "undefined": {label: reason}}``.
    """
    values = np.array([[m[0] for m in ranking_metrics(targets[:, k], scores[:, k])] for k in range(len(names))])
    reasons = {n: r for k, n in enumerate(names) if (r := support(targets[:, k]).undefined)}
    auroc, auprc = macro(values.T)
    return {
        "auroc": None if np.isnan(auroc) else float(auroc),
        "auprc": None if np.isnan(auprc) else float(auprc),
        "labels": len(names) - len(reasons),
        "undefined": reasons,
    }

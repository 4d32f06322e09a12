"""What a frozen threshold does: sensitivity, specificity and predictive values, as ratios of counts of recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.evaluation.statistics.bootstrap_ratios import Estimate
from ecgssl.evaluation.statistics.metrics import Array

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

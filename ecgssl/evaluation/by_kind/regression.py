"""Scoring of predicted numbers: errors in the target's unit, explained variance, and agreement as Bland & Altman draw it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import outputs_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import Estimate, Replicates, ratios
from ecgssl.evaluation.statistics.metrics import Array, macro

ERRORS = ("mae", "rmse", "r2")
AGREEMENT = ("bias", "limit_low", "limit_high")
_NORMAL = 1.96
"""Standard deviations of the limits of agreement (Bland & Altman, Lancet 1986)."""


def score_regression(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Score one model on one split; arguments as of ``score_multilabel``, names are of the targets.

    ``labels`` holds for every target mean absolute and root mean squared error, R2 (1 less squared error over squared
    distance from the mean of these recordings; negative where the mean would predict better), the mean of predicted less true
    (bias) and the limits that 95 % of such differences lie within where they are normal. ``macro`` is their
    mean over targets, in one unit only where the targets are.
    """
    y, x = targets_of(part, names), decision.probabilities(outputs_of(part, names, "regression"))
    patients = part["patient"].to_numpy().astype(str)
    labels: dict[str, Any] = {}
    found: dict[str, dict[str, Estimate]] = {}
    for k, name in enumerate(names):
        known = ~np.isnan(y[:, k])
        found[name] = _estimates(y[:, k], x[:, k], patients, params.bootstrap, seed)
        entry: dict[str, Any] = {
            "records": int(known.sum()),
            "patients": len(np.unique(patients[known])),
            "unknown": int((~known).sum()),
        }
        entry |= {metric: e.plain(params.confidence) for metric, e in found[name].items()}
        reason = _undefined(y[known, k])
        labels[name] = entry | ({"undefined": reason} if reason else {})
    point = {m: np.array([found[n][m].value for n in names]) for m in ERRORS}
    values = {m: np.column_stack([found[n][m].replicates for n in names]) for m in ERRORS}
    means: dict[str, Any] = {
        m: Estimate(float(macro(point[m])), macro(values[m])).plain(params.confidence) for m in ERRORS
    }
    means["labels"] = sum("undefined" not in e for e in labels.values())
    means["undefined"] = {n: e["undefined"] for n, e in labels.items() if "undefined" in e}
    draws = (seed, params.bootstrap, len(np.unique(patients)))
    return Result({"macro": means, "labels": labels}, point, Replicates(values, draws))


def measure_regression(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """Mean absolute error and bias of every target in a part of the recordings (a subgroup)."""
    labels = score_regression(part, names, decision, params, seed).figures["labels"]
    return {name: {"mae": entry["mae"], "bias": entry["bias"]} for name, entry in labels.items()}


def _estimates(y: Array, x: Array, patients: Any, resamples: int, seed: int) -> dict[str, Estimate]:
    known = ~np.isnan(y)
    count, error = known.astype(float), np.where(known, x - y, 0.0)
    # from a middle near the mean, so that squares do not cancel
    centred = np.where(known, y - (y[known].mean() if known.any() else 0.0), 0.0)
    columns = {"mae": np.abs(error), "bias": error, "square": error**2, "mean": centred, "spread": centred**2}
    sums = ratios({name: (column, count) for name, column in columns.items()}, patients, resamples, seed)
    n = max(int(known.sum()), 1)

    def combine(of: dict[str, Any]) -> dict[str, Any]:
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.maximum(of["spread"] - of["mean"] ** 2, 0.0)
            r2 = np.where(variance > 0, 1 - of["square"] / np.where(variance > 0, variance, 1.0), np.nan)
            # of a sample: n - 1 in the denominator
            spread = np.sqrt(np.maximum(of["square"] - of["bias"] ** 2, 0.0) * (n / (n - 1) if n > 1 else np.nan))
        limits = {"limit_low": of["bias"] - _NORMAL * spread, "limit_high": of["bias"] + _NORMAL * spread}
        return {"mae": of["mae"], "rmse": np.sqrt(of["square"]), "r2": r2, "bias": of["bias"], **limits}

    point = combine({k: np.float64(e.value) for k, e in sums.items()})
    spread = combine({k: e.replicates for k, e in sums.items()})
    return {name: Estimate(float(point[name]), spread[name]) for name in (*ERRORS, *AGREEMENT)}


def _undefined(y: Array) -> str:
    if not len(y):
        return "no record with a known target"
    return "" if np.ptp(y) > 0 else "the target is the same in all records, which leaves R2 undefined"

"""Scoring of findings that are each there or not: ranking, calibration, and what the frozen thresholds do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result
from ecgssl.evaluation.calibration.calibrators import MIN_EVENTS
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.calibration.reliability import calibration_line, expected_calibration_error
from ecgssl.evaluation.calibration.thresholds import (
    RATES,
    RISKS,
    YOUDEN,
    describe_point,
    net_benefit,
    rate_columns,
    treat_all,
)
from ecgssl.evaluation.predictions import outputs_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import METRICS, Estimate, bootstrap, macro_interval, plain, ratios
from ecgssl.evaluation.statistics.challenge_score import challenge_columns, challenge_year
from ecgssl.evaluation.statistics.metrics import Array, macro, ranking_metrics, support


def score_multilabel(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Score one model on one split.

    Args:
        part: its rows of a prediction table.
        names: K labels.
        decision: frozen; its calibrators and thresholds are applied, never fitted here.
        params: resamples and width of the intervals.
        seed: of the resamples.
    """
    y, z, patients = targets_of(part, names), outputs_of(part, names, "multilabel"), _patients(part)
    calibrated = decision.probabilities(z)
    raw = part[[f"prob__{n}" for n in names]].to_numpy(dtype=float)
    point = _ranking(y, z)
    replicates = bootstrap(y, z, patients, params.bootstrap, seed)
    estimates = ratios(_columns(y, raw, calibrated, names, decision), patients, params.bootstrap, seed)
    labels: dict[str, Any] = {}
    for k, name in enumerate(names):
        entry = _counts(y[:, k], patients)
        for metric in METRICS:
            entry[metric] = Estimate(point[metric][k], replicates.values[metric][:, k]).plain(params.confidence)
        entry["calibration"] = {
            when: _calibration(y[:, k], p[:, k], patients, estimates[f"{name}/{when}/brier"], params.confidence)
            for when, p in (("before", raw), ("after", calibrated))
        }
        entry["thresholds"] = {
            cut: describe_point(
                threshold.value, y[:, k], calibrated[:, k] >= threshold.value,
                {rate: estimates[f"{name}/{cut}/{rate}"] for rate in RATES}, params.confidence,
            )
            if threshold.value is not None
            else {"value": None, "undefined": threshold.reason}
            for cut, threshold in decision.labels[k].thresholds.items()
        }  # fmt: skip
        labels[name] = entry
    means: dict[str, Any] = {}
    for metric in METRICS:
        found = macro_interval(replicates, metric, ~np.isnan(point[metric]), params.confidence)
        bounds = {"low": plain(found.low), "high": plain(found.high), "dropped": found.dropped}
        means[metric] = {"value": plain(float(macro(point[metric]))), **bounds}
    means["labels"] = sum("undefined" not in e for e in labels.values())
    means["undefined"] = {n: e["undefined"] for n, e in labels.items() if "undefined" in e}
    year = challenge_year(names)
    if year is not None:
        score = ratios({"score": challenge_columns(y, decision.calls(z), names)}, patients, params.bootstrap, seed)
        means["challenge"] = {"year": year, "threshold": YOUDEN, **score["score"].plain(params.confidence)}
    return Result({"macro": means, "labels": labels}, point, replicates)


def measure_multilabel(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """AUROC, and the rates at each threshold, of every label in a part of the recordings (a subgroup)."""
    y, z, patients = targets_of(part, names), outputs_of(part, names, "multilabel"), _patients(part)
    calibrated = decision.probabilities(z)
    point, replicates = _ranking(y, z), bootstrap(y, z, patients, params.bootstrap, seed)
    columns = _columns(y, calibrated, calibrated, names, decision)
    estimates = ratios(columns, patients, params.bootstrap, seed)
    found: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(names):
        cuts = [cut for cut, threshold in decision.labels[k].thresholds.items() if threshold.value is not None]
        found[name] = {"auroc": Estimate(point["auroc"][k], replicates.values["auroc"][:, k]).plain(params.confidence)}
        found[name]["thresholds"] = {
            cut: {rate: estimates[f"{name}/{cut}/{rate}"].plain(params.confidence) for rate in RATES} for cut in cuts
        }
    return found


def decision_curves(part: pd.DataFrame, names: list[str], decision: Decision) -> dict[str, Any]:
    """Net benefit by label at every risk, of the model and of treating all; treating none has 0. For JSON."""
    y, z = targets_of(part, names), outputs_of(part, names, "multilabel")
    p = decision.probabilities(z)
    return {
        "risk": RISKS.tolist(),
        "labels": {
            name: {"model": net_benefit(y[:, k], p[:, k]).tolist(), "all": treat_all(y[:, k]).tolist()}
            for k, name in enumerate(names)
            if not support(y[:, k]).undefined
        },
    }


def _patients(part: pd.DataFrame) -> Any:
    return part["patient"].to_numpy().astype(str)


def _ranking(y: Array, z: Array) -> dict[str, Array]:
    values = np.array([[v[0] for v in ranking_metrics(y[:, k], z[:, k])] for k in range(y.shape[1])])
    return {metric: values[:, i] for i, metric in enumerate(METRICS)}


def _counts(y: Array, patients: Any) -> dict[str, Any]:
    counted = support(y)
    entry: dict[str, Any] = {
        "records": counted.records,
        "patients": len(np.unique(patients[~np.isnan(y)])),
        "positives": counted.positives,
        "unknown": counted.unknown,
        "prevalence": counted.positives / counted.records if counted.records else None,
    }
    few = min(counted.positives, counted.records - counted.positives)
    if counted.undefined:
        entry["undefined"] = counted.undefined
    elif few < MIN_EVENTS:
        which = "positive" if counted.positives == few else "negative"
        entry["caution"] = f"only {few} {which} recordings: read its numbers as anecdotes"
    return entry


def _columns(
    y: Array, raw: Array, calibrated: Array, names: list[str], decision: Decision
) -> dict[str, tuple[Array, Array]]:
    columns: dict[str, tuple[Array, Array]] = {}
    for k, name in enumerate(names):
        known = (~np.isnan(y[:, k])).astype(float)
        for when, p in (("before", raw), ("after", calibrated)):
            columns[f"{name}/{when}/brier"] = (np.nan_to_num((p[:, k] - y[:, k]) ** 2), known)
        for cut, threshold in decision.labels[k].thresholds.items():
            if threshold.value is not None:
                found = rate_columns(y[:, k], calibrated[:, k] >= threshold.value)
                columns |= {f"{name}/{cut}/{rate}": pair for rate, pair in found.items()}
    return columns


def _calibration(y: Array, p: Array, patients: Any, score: Estimate, confidence: float) -> dict[str, Any]:
    slope, intercept = calibration_line(y, p, patients, confidence)
    ece = plain(expected_calibration_error(y, p))
    return {"brier": score.plain(confidence), "ece": ece, "slope": slope.plain(), "intercept": intercept.plain()}

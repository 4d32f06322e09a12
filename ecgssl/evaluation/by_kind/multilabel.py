"""Evaluation of multilabel tasks: AUROC and AUPRC, calibration, and sensitivity and specificity at thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.by_kind.result import Result, class_counts, label_figures, macro_figures, support_figures
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
from ecgssl.evaluation.predictions import outputs_of, patients_of, probabilities_of, targets_of
from ecgssl.evaluation.statistics.bootstrap import Estimate, bootstrap, plain, ratios
from ecgssl.evaluation.statistics.challenge_score import challenge_columns, challenge_year
from ecgssl.evaluation.statistics.metrics import Array, metrics_of, support

_CELLS = 1 << 23
"""Maximum number of recordings times labels whose columns are in memory at once; a label takes about 35 bytes."""


def score_multilabel(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> Result:
    """Evaluate one model on one split of a multilabel task.

    Args:
        part: rows of the model and split in a prediction table.
        names: names of the K labels.
        decision: calibrators and thresholds. They are applied without being fitted again.
        params: parameters with the number of bootstrap resamples and the confidence level.
        seed: seed of the bootstrap resamples.
    """
    y, z, patients = targets_of(part, names), outputs_of(part, names, "multilabel"), patients_of(part)
    raw, calibrated = probabilities_of(part, names), decision.probabilities(z)
    metrics = metrics_of("multilabel")
    replicates = bootstrap(y, z, patients, params.bootstrap, seed, metrics)
    estimates = _ratios(y, raw, calibrated, patients, names, decision, params, seed)
    labels = label_figures(replicates, metrics, names, params.confidence)
    for k, name in enumerate(names):
        labels[name] = class_counts(y[:, k], patients) | {"unknown": support(y[:, k]).unknown} | labels[name]
        labels[name]["calibration"] = {
            when: _calibration(y[:, k], p[:, k], patients, estimates[f"{name}/{when}/brier"], params.confidence)
            for when, p in (("before", raw), ("after", calibrated))
        }
        labels[name]["thresholds"] = {
            cut: describe_point(
                threshold.value, y[:, k], calibrated[:, k] >= threshold.value,
                {rate: estimates[f"{name}/{cut}/{rate}"] for rate in RATES}, params.confidence,
            )
            if threshold.value is not None
            else {"value": None, "undefined": threshold.reason}
            for cut, threshold in decision.labels[k].thresholds.items()
        }  # fmt: skip
    means: dict[str, Any] = macro_figures(replicates, metrics, params.confidence) | support_figures(labels)
    year = challenge_year(names)
    if year is not None:
        score = ratios({"score": challenge_columns(y, decision.calls(z), names)}, patients, params.bootstrap, seed)
        means["challenge"] = {"year": year, "threshold": YOUDEN, **score["score"].plain(params.confidence)}
    return Result({"macro": means, "labels": labels}, replicates)


def measure_multilabel(
    part: pd.DataFrame, names: list[str], decision: Decision, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the metrics with ``in_subgroups`` of each label, and the rates (``RATES``) at each threshold, for a subgroup.

    See ``score_multilabel`` for the arguments.
    """
    y, z, patients = targets_of(part, names), outputs_of(part, names, "multilabel"), patients_of(part)
    calibrated = decision.probabilities(z)
    metrics = [metric for metric in metrics_of("multilabel") if metric.in_subgroups]
    replicates = bootstrap(y, z, patients, params.bootstrap, seed, metrics)
    estimates = _ratios(y, calibrated, calibrated, patients, names, decision, params, seed)
    found = label_figures(replicates, metrics, names, params.confidence)
    for k, name in enumerate(names):
        cuts = [cut for cut, threshold in decision.labels[k].thresholds.items() if threshold.value is not None]
        found[name]["thresholds"] = {
            cut: {rate: estimates[f"{name}/{cut}/{rate}"].plain(params.confidence) for rate in RATES} for cut in cuts
        }
    return found


def decision_curves(part: pd.DataFrame, names: list[str], decision: Decision) -> dict[str, Any]:
    """Return decision curves: net benefit of the model and of treating all patients, by label and threshold risk.

    Labels without positive or without negative recordings are excluded.
    """
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


def _ratios(
    y: Array,
    raw: Array,
    calibrated: Array,
    patients: NDArray[np.int64],
    names: list[str],
    decision: Decision,
    params: EvaluateParams,
    seed: int,
) -> dict[str, Estimate]:
    """Return Brier score before and after calibration, and the rates at each threshold, of all labels.

    The labels are divided into parts with equal resamples, so that the columns of all labels are not in memory at once.
    """
    found: dict[str, Estimate] = {}
    part = max(1, _CELLS // max(len(y), 1))
    for start in range(0, len(names), part):
        columns: dict[str, tuple[Any, Any]] = {}
        for k in range(start, min(start + part, len(names))):
            columns |= {f"{names[k]}/{key}": pair for key, pair in _columns(y, raw, calibrated, k, decision).items()}
        found |= ratios(columns, patients, params.bootstrap, seed)
    return found


def _columns(y: Array, raw: Array, calibrated: Array, k: int, decision: Decision) -> dict[str, tuple[Any, Any]]:
    # with one class, the Brier score is undefined, as are the other calibration measures
    known = ~np.isnan(y[:, k]) & (not support(y[:, k]).undefined)
    columns: dict[str, tuple[Any, Any]] = {
        f"{when}/brier": (np.nan_to_num((p[:, k] - y[:, k]) ** 2), known)
        for when, p in (("before", raw), ("after", calibrated))
    }
    for cut, threshold in decision.labels[k].thresholds.items():
        if threshold.value is not None:
            found = rate_columns(y[:, k], calibrated[:, k] >= threshold.value)
            columns |= {f"{cut}/{rate}": pair for rate, pair in found.items()}
    return columns


def _calibration(y: Array, p: Array, patients: Any, score: Estimate, confidence: float) -> dict[str, Any]:
    slope, intercept = calibration_line(y, p, patients, confidence)
    ece = None if support(y).undefined else plain(expected_calibration_error(y, p))
    return {"brier": score.plain(confidence), "ece": ece, "slope": slope.plain(), "intercept": intercept.plain()}

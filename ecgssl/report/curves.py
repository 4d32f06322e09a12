"""Curves of a report: ROC and precision-recall (at most 120 points each), reliability and regression agreement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.calibration.decision import Decision, fit_from_predictions
from ecgssl.evaluation.calibration.decision_text import is_fitted
from ecgssl.evaluation.calibration.reliability import BINS, reliability
from ecgssl.evaluation.curves import roc_curve, thin
from ecgssl.evaluation.predictions import kind_of, labels_of, outputs_of
from ecgssl.evaluation.statistics.metrics import Array, support
from ecgssl.evaluation.statistics.ranking import cumulative_counts
from ecgssl.evaluation.suppression import SMALLEST

POINTS = 120


def precision_recall(target: ArrayLike, score: ArrayLike) -> tuple[Array, Array]:
    """Return recall and precision at every distinct score, in decreasing order of the score.

    Args:
        target: (N,) labels 1 or 0; recordings with NaN are ignored.
        score: (N,) scores.

    Raises:
        ValueError: no recording is positive.
    """
    hits, false = (counts[0] for counts in cumulative_counts(target, score))
    if not len(hits) or not hits[-1]:
        raise ValueError("precision and recall need at least one positive recording")
    return hits / hits[-1], hits / (hits + false)


def curves(predictions: pd.DataFrame, split: str, decision: Decision | None, main: str) -> dict[str, Any]:
    """Return the curves of one split.

    Args:
        predictions: validated prediction table of all models of a run.
        split: split to evaluate.
        decision: calibrators of the main model; ``None`` for a run without calibration.
        main: name of the main model.

    Returns:
        ``{"roc" | "pr": {label: {model: [x, y]}}, "reliability": {label: {"before" | "after": [bin]}}}``, with ``after`` for
        labels that have a calibrator. Labels without positive or without negative recordings are omitted. For a regression
        ``{"agreement": {target: [group]}}``: groups of at least ten recordings with similar predictions, with the mean
        prediction and the mean, 10th and 90th percentiles of the true values.
    """
    table = predictions[predictions["split"] == split]
    kind, names = kind_of(table), labels_of(table)
    own = table[table["model"] == main]
    if kind == "regression":
        return {"agreement": _agreement(own, names)}
    found: dict[str, Any] = {"roc": {}, "pr": {}, "reliability": {}}
    after = None if decision is None else decision.probabilities(outputs_of(own, names, kind))
    models = list(dict.fromkeys(table["model"]))
    scores = {m: _scores(predictions, split, m, decision, main) for m in models}
    for k, name in enumerate(names):
        target = own[f"target__{name}"].to_numpy(dtype=float)
        if support(target).undefined:
            continue
        found["roc"][name], found["pr"][name] = {}, {}
        for model in models:
            y = table.loc[table["model"] == model, f"target__{name}"].to_numpy(dtype=float)
            z = scores[model][:, k]
            found["roc"][name][model] = _plain(*thin(*roc_curve(y, z), POINTS))
            found["pr"][name][model] = _plain(*thin(*_stairs(*precision_recall(y, z)), POINTS))
        stages = {"before": own[f"prob__{name}"].to_numpy(dtype=float)}
        if after is not None and decision is not None and is_fitted(decision.labels[k].calibrator):
            stages["after"] = after[:, k]
        found["reliability"][name] = {when: _bins(target, p) for when, p in stages.items()}
    return found


def _scores(predictions: pd.DataFrame, split: str, model: str, decision: Decision | None, main: str) -> Array:
    """Return the scores (N, K) for ROC and precision-recall: logits, or class probabilities of a multiclass task."""
    kind, names = kind_of(predictions), labels_of(predictions)
    part = predictions[(predictions["split"] == split) & (predictions["model"] == model)]
    if kind != "multiclass":
        return outputs_of(part, names, kind)
    if decision is None:
        return part[[f"prob__{n}" for n in names]].to_numpy(dtype=float)
    own = decision
    if model != main:
        own = fit_from_predictions(predictions, model, EvaluateParams(), method=decision.labels[0].calibrator.method)
    return own.probabilities(outputs_of(part, names, kind))


def _stairs(recall: Array, precision: Array) -> tuple[Array, Array]:
    """Return the points of the step curve, starting at recall 0. The area under the steps is the average precision."""
    rises = np.diff(recall, prepend=0.0) > 0
    return np.r_[0.0, recall[rises]], np.r_[precision[rises][:1], precision[rises]]


def _bins(target: Array, probability: Array) -> list[dict[str, float]]:
    return [
        {"records": b.records} | {key: round(getattr(b, key), 4) for key in ("predicted", "observed", "low", "high")}
        for b in reliability(target, probability)
    ]


def _agreement(own: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Return groups of recordings with similar predictions. Points for single recordings could identify patients."""
    found = {}
    for name in names:
        known = own[own[f"target__{name}"].notna()]
        true, predicted = (known[f"{side}__{name}"].to_numpy(dtype=float) for side in ("target", "pred"))
        groups = max(1, min(BINS, len(true) // SMALLEST))
        index = np.floor(groups * (rankdata(predicted) - 0.5) / max(len(true), 1)).astype(int)
        found[name] = [
            {
                "records": int((index == g).sum()),
                "predicted": float(predicted[index == g].mean()),
                "true": float(true[index == g].mean()),
                "low": float(np.quantile(true[index == g], 0.1)),
                "high": float(np.quantile(true[index == g], 0.9)),
            }
            for g in range(groups)
            if (index == g).sum() >= SMALLEST
        ]
    return found


def _plain(x: Array, y: Array) -> list[list[float]]:
    return [np.round(x, 4).tolist(), np.round(y, 4).tolist()]

"""Evaluation of prediction tables: metrics with intervals, thresholds, subgroups and paired comparisons of models.

The structure of the results is described in docs/evaluation.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.config.manifest import OutputKind
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.by_kind.multiclass import measure_multiclass, score_multiclass
from ecgssl.evaluation.by_kind.multilabel import decision_curves, measure_multilabel, score_multilabel
from ecgssl.evaluation.by_kind.regression import measure_regression, score_regression
from ecgssl.evaluation.by_kind.result import Result
from ecgssl.evaluation.calibration.decision import Decision, fit_from_predictions
from ecgssl.evaluation.calibration.decision_text import calibration_text, has_calibrator, threshold_text
from ecgssl.evaluation.calibration.reliability import BINS
from ecgssl.evaluation.predictions import (
    check_predictions,
    clinical_of,
    first_of_each_patient,
    kind_of,
    labels_of,
    patients_of,
    recordings_digest,
    targets_of,
)
from ecgssl.evaluation.statistics.bootstrap import paired_difference, plain, plain_all
from ecgssl.evaluation.statistics.delong import delong_difference
from ecgssl.evaluation.statistics.metrics import metrics_of, support
from ecgssl.evaluation.statistics.permutation import permutation_test
from ecgssl.evaluation.subgroups import subgroups
from ecgssl.evaluation.suppression import SMALLEST
from ecgssl.evaluation.target_kinds import TARGET_KINDS

FORMAT = "ecgssl-evaluation"
VERSION = 2
SPLITS = ("val", "test", "external")
SCORERS = {"multilabel": score_multilabel, "multiclass": score_multiclass, "regression": score_regression}
_MEASURE = {"multilabel": measure_multilabel, "multiclass": measure_multiclass, "regression": measure_regression}


def evaluate(
    predictions: pd.DataFrame,
    params: EvaluateParams,
    seed: int,
    baseline: str | None = "random",
    main: str | None = None,
    *,
    decision: Decision | None = None,
    groups: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Evaluate all models in a prediction table on the validation, test and external recordings.

    Args:
        predictions: concatenated prediction tables of one or more models for the same recordings.
        params: parameters of the section ``evaluate``: bootstrap, calibration, thresholds and columns of the subgroups.
        seed: seed of the bootstrap; all models of a split use the same resamples.
        baseline: name of the probe on the randomly initialised encoder; ``None`` for no baseline.
        main: model that is compared with all other models; by default the first model that is not the baseline.
        decision: calibrators and thresholds of the main model; by default fitted on the validation rows of the table.
            Calibrators and thresholds of the other models are always fitted on the validation rows.
        groups: table with one row per recording, indexed by ``record_id``, with the available columns of
            ``params.subgroups``.

    Returns:
        JSON-compatible results (see docs/evaluation.md). Undefined values are ``None``, and ``undefined`` contains the
        reason. ``dropped`` is the number of resamples in which a metric is undefined.

    Raises:
        InputError: the table is invalid or has no rows of these splits, the baseline or main model is missing, the models
            have different recordings, patients or targets, or the decision has other labels or another kind.
    """
    table = check_predictions(predictions, "predictions")
    kind, names = kind_of(table), labels_of(table)
    table = first_of_each_patient(table) if params.one_per_patient else table
    models = list(dict.fromkeys(table["model"]))
    main = main or next((m for m in models if m != baseline), models[0])
    _require_models(models, baseline, main)
    splits = [s for s in SPLITS if (table["split"] == s).any()]
    if not splits:
        what = f"the table has no rows of split {', '.join(SPLITS)}"
        raise InputError(Problem("predictions", "split", what, "Predict one of these splits"))
    decisions = {m: fit_from_predictions(table, m, params) for m in models if m != main or decision is None}
    if decision is not None:
        decisions[main] = _require_fitting(decision, kind, names)
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "primary": TARGET_KINDS[kind].primary,
        "labels": names,
        "main": main,
        "baseline": baseline,
        "clinical": clinical_of(models),
        "method": _method(params, seed, decisions[main]),
        "decision": decisions[main].to_dict(),
        "splits": {},
        "models": {m: {} for m in models},
        "net_benefit": {},
        "subgroups": {},
        "paired": {},
    }
    for split in splits:
        parts = _aligned(table[table["split"] == split], models, names, split)
        patients = patients_of(parts[main])
        result["splits"][split] = {
            "records": len(patients),
            "patients": len(np.unique(patients)),
            "digest": recordings_digest(parts[main], names),
        }
        scored = {m: SCORERS[kind](part, names, decisions[m], params, seed) for m, part in parts.items()}
        for model, found in scored.items():
            result["models"][model][split] = found.figures
        if split == "val":
            continue
        if kind == "multilabel":
            result["net_benefit"][split] = decision_curves(parts[main], names, decisions[main])
        if groups is not None:
            result["subgroups"][split] = _subgroups(parts[main], groups, names, kind, decisions[main], params, seed)
        result["paired"][split] = {
            m: _compare(scored[main], scored[m], kind, params.confidence)
            | _compare_labels(parts[main], parts[m], names, kind, params, seed)
            for m in models
            if m != main
        }
    return result


def _method(params: EvaluateParams, seed: int, decision: Decision) -> dict[str, Any]:
    optimistic = "; results on validation are optimistic" if decision.fitted_on.get("split") == "val" else ""
    return {
        "interval": f"percentile bootstrap of patients, {params.bootstrap} resamples, {params.confidence:g}",
        "paired": "bootstrap of the macro difference on the same patients, two-sided",
        "permutation": f"exchange of the two models' ranks by patient, {params.bootstrap} exchanges, two-sided",
        "delong": "normal, patients as units (Obuchowski 1997)",
        "ece": f"{BINS} bins of equal count by rank, ties together",
        "calibration": calibration_text(decision) + (optimistic if has_calibrator(decision) else ""),
        "thresholds": threshold_text(decision),
        "slope": "normal, sandwich variance by patient",
        "recordings": "first of each patient, by record_id" if params.one_per_patient else "all of each patient",
        "subgroups": f"withheld under {SMALLEST} patients, also of the rarer class",
        "seed": seed,
    }


def _require_models(models: list[str], baseline: str | None, main: str) -> None:
    missing = [m for m in (baseline, main) if m is not None and m not in models]
    if missing:
        remedy = "Predict with this model as well, or use another name"
        raise InputError(Problem("predictions", "model", f"{m!r} is not among {models}", remedy) for m in missing)


def _require_fitting(decision: Decision, kind: OutputKind, names: list[str]) -> Decision:
    if decision.kind != kind or list(decision.names) != names:
        what = f"has {decision.kind} labels {', '.join(decision.names)}; the predictions have {kind} {', '.join(names)}"
        raise InputError(Problem("decision", "labels", what, "Use the decision of the model that made the predictions"))
    return decision


def _aligned(table: pd.DataFrame, models: list[str], names: list[str], split: str) -> dict[str, pd.DataFrame]:
    """Return one table per model, sorted by recording. Check that all have the same recordings, patients and targets."""
    parts = {m: table[table["model"] == m].sort_values("record_id", ignore_index=True) for m in models}
    shared = ["record_id", "patient", *(f"target__{n}" for n in names)]
    first = parts[models[0]][shared]
    problems = []
    for model in models[1:]:
        if not parts[model][shared].equals(first):
            what = f"{model!r} and {models[0]!r} have different records, patients or targets in split {split}"
            problems.append(Problem("predictions", "model", what, "Predict the same cohort with every model"))
    if problems:
        raise InputError(problems)
    return parts


def _subgroups(
    part: pd.DataFrame,
    groups: pd.DataFrame,
    names: list[str],
    kind: OutputKind,
    decision: Decision,
    params: EvaluateParams,
    seed: int,
) -> list[dict[str, Any]]:
    columns = [c for c in params.subgroups if c in groups.columns]

    def measure(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
        return _MEASURE[kind](rows, names, decision, params, seed)

    return subgroups(part, groups[columns], names, kind, measure, params.age_bands)


def _compare(first: Result, second: Result, kind: OutputKind, confidence: float) -> dict[str, Any]:
    """Return the paired differences between two models in the macro mean of each metric with ``paired``."""
    found = {}
    for metric in (m.name for m in metrics_of(kind) if m.paired):
        one, other = (result.replicates.macro_estimate(metric).value for result in (first, second))
        paired = paired_difference(first.replicates, second.replicates, metric, confidence)
        found[metric] = {"difference": plain(one - other), **plain_all(paired)}
    return found


def _compare_labels(
    first: pd.DataFrame, second: pd.DataFrame, names: list[str], kind: OutputKind, params: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Compare two models with a permutation test of the macro AUROC and DeLong's test; empty for a regression."""
    column = TARGET_KINDS[kind].compared_by
    if column is None:
        return {}
    y, patients = targets_of(first, names), patients_of(first)
    a, b = (part[[f"{column}__{n}" for n in names]].to_numpy(dtype=float) for part in (first, second))
    labels: dict[str, Any] = {}
    for k, name in enumerate(names):
        reason = support(y[:, k]).undefined
        if reason:
            labels[name] = {"difference": None, "undefined": reason}
            continue
        found = delong_difference(y[:, k], a[:, k], b[:, k], patients, params.confidence)
        labels[name] = plain_all(found)
    p = permutation_test(y, a, b, patients, params.bootstrap, seed)
    return {"permutation": {"metric": "auroc", "p": plain(p)}, "delong": labels}

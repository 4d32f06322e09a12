"""Calibrators and thresholds from a prediction table: fitted on one split of it, applied to all others."""

from __future__ import annotations

import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.calibration.calibrators import Method
from ecgssl.evaluation.calibration.decision import Decision, Kind, fit_decision
from ecgssl.evaluation.predictions import kind_of, labels_of
from ecgssl.evaluation.statistics.metrics import Array


def decision_from(
    predictions: pd.DataFrame,
    model: str,
    params: EvaluateParams,
    split: str = "val",
    method: Method | None = None,
) -> Decision:
    """Fit the decision of one model of a prediction table.

    Args:
        predictions: with rows of the model and split; without any, nothing can be fitted, and the reasons say so.
        model: its name.
        params: calibration and the thresholds wanted.
        split: to fit on.
        method: of calibration, in place of that of ``params``.
    """
    part = predictions[(predictions["model"] == model) & (predictions["split"] == split)]
    part = (first_of_each_patient(part) if params.one_per_patient else part).sort_values("record_id")
    names, kind = labels_of(predictions), kind_of(predictions)
    about = {"split": split, "records": len(part), "patients": int(part["patient"].nunique())}
    return fit_decision(
        kind, names, outputs_of(part, names, kind), targets_of(part, names),
        method=method or params.calibration, sensitivities=params.sensitivities,
        specificities=params.specificities, fitted_on=about,
    )  # fmt: skip


def outputs_of(part: pd.DataFrame, names: list[str], kind: Kind) -> Array:
    """(N, K) logits, or of a regression predicted values, in the order of ``names``."""
    column = "pred" if kind == "regression" else "logit"
    return part[[f"{column}__{n}" for n in names]].to_numpy(dtype=float)


def targets_of(part: pd.DataFrame, names: list[str]) -> Array:
    """(N, K) targets, NaN where unknown."""
    return part[[f"target__{n}" for n in names]].to_numpy(dtype=float)


def first_of_each_patient(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first recording of each patient, by the order of ``record_id``, for every model and split."""
    ordered = predictions.sort_values("record_id", kind="stable")
    kept = ordered.drop_duplicates(["model", "split", "patient"]).index
    return predictions.loc[predictions.index.isin(kept)]

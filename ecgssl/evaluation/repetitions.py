"""Metrics over several repetitions: random draws of a share of the training patients, or repeated cross-validation.

Each result is the mean over the repetitions, with a confidence interval from a bootstrap of patients. All repetitions
use the same bootstrap samples. The values of the individual repetitions are also reported. Their spread is not a
confidence interval, because all repetitions evaluate the same patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import fit_from_predictions
from ecgssl.evaluation.evaluate import SCORERS
from ecgssl.evaluation.predictions import kind_of, labels_of
from ecgssl.evaluation.statistics.bootstrap import Replicates, interval, paired_difference, plain
from ecgssl.evaluation.statistics.metrics import metrics_of


def score_repetitions(
    tables: Sequence[pd.DataFrame],
    model: str,
    params: EvaluateParams,
    seed: int,
    *,
    against: str | Sequence[str] | None = None,
    split: str = "test",
) -> dict[str, dict[str, Any]]:
    """Compute the means over repetitions of the macro metrics that are used in paired comparisons (``Metric.paired``).

    Args:
        tables: one prediction table per repetition, all with the same recordings.
        model: name of the model in the tables.
        params: parameters of the bootstrap, the calibration and the thresholds.
        seed: seed of the bootstrap.
        against: one or more other models in the same tables, for paired comparisons; ``None`` for no comparison.
        split: split to evaluate.

    Returns:
        ``{metric: {"value", "low", "high", "repetitions": [one value each]}}``; undefined numbers are ``None``. With
        ``against``, each metric also has ``versus``, which contains for each other model its mean ``value`` and ``paired``
        with ``{"difference", "low", "high", "p"}``. ``other`` and ``paired`` are those of the first of these models.

    Raises:
        InputError: the tables contain different recordings of the model in this split.
    """
    own = _mean_of(tables, model, params, seed, split)
    names = [against] if isinstance(against, str) else list(against or ())
    others = {name: _mean_of(tables, name, params, seed, split) for name in names}
    out: dict[str, dict[str, Any]] = {}
    for metric, values in own.values.items():
        limits = interval(own.replicates.values[metric][:, 0], params.confidence)
        out[metric] = {
            "value": plain(float(np.mean(values))),
            "low": plain(limits.low),
            "high": plain(limits.high),
            "repetitions": [plain(value) for value in values],
        }
        for name, other in others.items():
            theirs = float(np.mean(other.values[metric]))
            paired = paired_difference(own.replicates, other.replicates, metric, params.confidence)
            bounds = {"low": plain(paired.low), "high": plain(paired.high), "p": plain(paired.p)}
            found = {"difference": plain(float(np.mean(values)) - theirs), **bounds}
            out[metric].setdefault("versus", {})[name] = {"value": plain(theirs), "paired": found}
            if name == names[0]:
                out[metric] |= {"other": plain(theirs), "paired": found}
    return out


@dataclass(frozen=True)
class _Mean:
    """Macro metrics over repetitions.

    Args:
        values: macro value of each repetition, by metric.
        replicates: mean over the repetitions in each bootstrap resample, (R, 1) by metric.
    """

    values: dict[str, list[float]]
    replicates: Replicates


def _mean_of(tables: Sequence[pd.DataFrame], model: str, params: EvaluateParams, seed: int, split: str) -> _Mean:
    parts = [t[(t["model"] == model) & (t["split"] == split)].sort_values("record_id") for t in tables]
    for number, part in enumerate(parts):
        if part["record_id"].tolist() != parts[0]["record_id"].tolist():
            what = f"repetition {number} and the first repetition have different recordings"
            raise InputError(
                Problem("predictions", "record_id", what, "Predict the same recordings in every repetition")
            )
    kind, names = kind_of(tables[0]), labels_of(tables[0])
    scored = [
        SCORERS[kind](part, names, fit_from_predictions(table, model, params), params, seed)
        for part, table in zip(parts, tables, strict=True)
    ]
    compared = [metric.name for metric in metrics_of(kind) if metric.paired]
    values = {m: [one.replicates.macro_estimate(m).value for one in scored] for m in compared}
    means = {metric: np.mean([one.replicates.macro(metric) for one in scored], axis=0)[:, None] for metric in values}
    return _Mean(values, Replicates(means, scored[0].replicates.draws))

"""ROC and reliability curves as tables for ``dvc plots``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ecgssl.evaluation.calibration.reliability import BINS, reliability
from ecgssl.evaluation.predictions import labels_of
from ecgssl.evaluation.statistics.metrics import Array, support
from ecgssl.evaluation.statistics.ranking import cumulative_counts
from ecgssl.files import write_atomic

Row = dict[str, Any]


def roc_curve(target: ArrayLike, score: ArrayLike) -> tuple[Array, Array]:
    """Return the ROC curve: false and true positive rates at all distinct scores, from (0, 0) to (1, 1).

    Args:
        target: targets (N,): 1, 0 or NaN (ignored).
        score: scores (N,).

    Raises:
        ValueError: only one class is present.
    """
    hits, false = (counts[0] for counts in cumulative_counts(target, score))
    if not len(hits) or not hits[-1] or not false[-1]:
        raise ValueError("a ROC curve needs both classes")
    return np.r_[0.0, false / false[-1]], np.r_[0.0, hits / hits[-1]]


def thin(x: Array, y: Array, points: int) -> tuple[Array, Array]:
    """Thin a monotone curve to at most ``points`` points, about evenly spaced along its length. Both ends are kept."""
    if len(x) <= points:
        return x, y
    length = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    wanted = np.linspace(0, length[-1], points)
    keep = np.unique(np.r_[0, np.searchsorted(length, wanted)[1:-1], len(x) - 1])
    return x[keep], y[keep]


def roc_rows(predictions: pd.DataFrame, split: str = "test", points: int = 200) -> list[Row]:
    """Return the ROC curves of all models as rows ``{label, model, fpr, tpr}``, one per point of a curve. Labels with
    only one class are excluded.

    Args:
        predictions: prediction table, as made by ``prediction_table``.
        split: split of the recordings.
        points: maximum number of points per label and model.
    """
    rows = []
    for model, name, part in _parts(predictions, split):
        target = part[f"target__{name}"].to_numpy()
        if support(target).undefined:
            continue
        fpr, tpr = thin(*roc_curve(target, part[f"logit__{name}"].to_numpy()), points)
        rows += [
            {"label": name, "model": model, "fpr": round(float(f), 5), "tpr": round(float(t), 5)}
            for f, t in zip(fpr, tpr, strict=True)
        ]
    return rows


def reliability_rows(predictions: pd.DataFrame, split: str = "test", bins: int = BINS) -> list[Row]:
    """Return the reliability curves of all models as rows, one per bin.

    Each row is ``{label, model, predicted, observed, low, high, records}`` (see ``ReliabilityBin``).
    """
    rows = []
    for model, name, part in _parts(predictions, split):
        for b in reliability(part[f"target__{name}"].to_numpy(), part[f"prob__{name}"].to_numpy(), bins):
            numbers = {"predicted": b.predicted, "observed": b.observed, "low": b.low, "high": b.high}
            rounded = {k: round(v, 5) for k, v in numbers.items()}
            rows.append({"label": name, "model": model, **rounded, "records": b.records})
    return rows


def write_rows(rows: Sequence[Row], path: Path | str) -> None:
    """Write rows atomically as a JSON list, one row per line."""
    write_atomic(path, "[\n" + ",\n".join(json.dumps(r, allow_nan=False) for r in rows) + "\n]\n")


def _parts(predictions: pd.DataFrame, split: str) -> list[tuple[str, str, pd.DataFrame]]:
    table = predictions[predictions["split"] == split]
    models = list(dict.fromkeys(table["model"]))
    return [(str(m), n, table[table["model"] == m]) for n in labels_of(predictions) for m in models]

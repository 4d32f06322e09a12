"""Monitored features of a batch of recordings, computed from the columns of a score file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import ReasonCode

NEEDED = ("status", "reasons", "flags", "sampling_rate", "leads", "heart_rate")
"""Columns of a score file that ``features`` requires."""
RECORDED = "recorded_seconds"
"""Column of a score file that older releases do not write."""
SCORES = ("logit__", "prob__", "value__")
"""Prefixes of the columns with outputs of the model."""


@dataclass(frozen=True)
class Features:
    """Features of a batch. Arrays have one entry per scored recording.

    Arrays of binary predictions at a threshold have entries only for recordings with a prediction.

    Args:
        recordings: number of scored recordings.
        shares: boolean features by name.
        categories: text features by name.
        numbers: numeric features by name, NaN if unknown.
        tried: number of scored and rejected recordings.
        rejected: numbers of rejected recordings by reason code; the key ``""`` contains their total.
    """

    recordings: int
    shares: dict[str, NDArray[np.bool_]]
    categories: dict[str, NDArray[np.str_]]
    numbers: dict[str, NDArray[np.float64]]
    tried: int
    rejected: dict[str, int] = field(default_factory=dict)


def features(table: pd.DataFrame, leads: Sequence[str], duration: float | None = None) -> Features:
    """Return the features of a table with the columns of a score file (``ecgssl.scoring.files``).

    Boolean features (``shares``) are missing leads, recordings shorter than the window, quality findings, and positive
    predictions at each threshold. Text features (``categories``) are the sampling rate, the number of leads, and the most
    probable class of a multiclass task. Numeric features (``numbers``) are the heart rate and the outputs of the model: logits
    of a multilabel task, probabilities of a multiclass task, or values of a regression.

    Args:
        table: table with one row per recording. Record names and paths are not used.
        leads: names of the leads in the preprocessing settings.
        duration: duration in the preprocessing settings in s. Without it, or without the column ``recorded_seconds`` of older
            score files, short recordings are not counted.
    """
    status = table["status"].to_numpy(dtype=str)
    scored = table[status == "ok"]
    found = [set(filter(None, cell.split(";"))) for cell in _texts(scored["flags"])]
    seen = [set(cell.split()) for cell in _texts(scored["leads"])]
    shares = {f"lead {lead} missing": np.array([lead not in one for one in seen], dtype=bool) for lead in leads}
    shares |= {f"finding {code}": np.array([code in one for one in found], dtype=bool) for code in get_args(ReasonCode)}
    if duration is not None and RECORDED in scored:
        recorded = _numbers(scored[RECORDED])
        # files of older releases have no value, and all their recordings are complete
        shares["shorter than the window"] = recorded[~np.isnan(recorded)] < duration - 1e-6
    for name in (column for column in scored if column.startswith("call__")):
        _, label, cut = name.split("__", 2)
        calls = _numbers(scored[name])
        # a binary prediction is missing if the score is missing, or if no threshold could be chosen
        shares[f"{label} called at {cut}"] = calls[~np.isnan(calls)] == 1
    categories = {
        "sampling rate": np.array([f"{rate:g} Hz" for rate in _numbers(scored["sampling_rate"])], dtype=str),
        "leads": np.array([f"{len(one & set(leads))} leads" for one in seen], dtype=str),
    }
    if "predicted" in scored:
        categories["likeliest class"] = np.array(_texts(scored["predicted"]), dtype=str)
    # multiclass logits are defined only up to an additive constant, so probabilities are used instead
    exclusive = "predicted" in scored
    selected = {"logit__": not exclusive, "prob__": exclusive, "value__": True}
    numbers = {"heart rate": _numbers(scored["heart_rate"])}
    for kind in (kind for kind in SCORES if selected[kind]):
        names = [column for column in scored if column.startswith(kind)]
        numbers |= {name.replace("__", " of ", 1): _numbers(scored[name]) for name in names}
    return Features(len(scored), shares, categories, numbers, len(table), _rejected(table[status != "ok"]))


def joined(parts: Sequence[Features]) -> Features:
    """Return the features of all recordings of several parts of a batch. At least one part is needed."""

    def arrays(kind: str) -> dict[str, NDArray[Any]]:
        names = dict.fromkeys(name for part in parts for name in getattr(part, kind))
        return {
            name: np.concatenate([own[name] for own in (getattr(p, kind) for p in parts) if name in own])
            for name in names
        }

    rejected: dict[str, int] = {}
    for part in parts:
        for code, count in part.rejected.items():
            rejected[code] = rejected.get(code, 0) + count
    recordings, tried = (sum(getattr(part, name) for part in parts) for name in ("recordings", "tried"))
    return Features(recordings, arrays("shares"), arrays("categories"), arrays("numbers"), tried, rejected)


def embeddings(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the embeddings (n, E) of the scored recordings in a score file; E is 0 without columns of embeddings."""
    names = sorted(column for column in map(str, table) if column.startswith("emb_"))
    return table.loc[table["status"] == "ok", names].to_numpy(dtype=np.float64)


def table_of(rows: Mapping[str, Sequence[Any]], scores: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Combine results of preprocessing and scores into a table for ``features``.

    Args:
        rows: the columns in ``NEEDED`` except ``status``, and ``RECORDED``, for recordings that were not rejected.
        scores: result of ``ecgssl.scoring.scores.score_cells``.
    """
    table = pd.DataFrame({name: list(values) for name, values in {**rows, **scores}.items()})
    return table.assign(status="ok")


def _rejected(table: pd.DataFrame) -> dict[str, int]:
    counts = {"": len(table)}
    for cell in _texts(table["reasons"]):
        for code in filter(None, cell.split(";")):
            counts[code] = counts.get(code, 0) + 1
    return counts


def _texts(column: pd.Series[Any]) -> list[str]:
    return [value if isinstance(value, str) else "" for value in column]


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)

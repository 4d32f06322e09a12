"""Monitored features of a batch: shares, categories and numbers, from the columns of a score file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import ReasonCode

NEEDED = ("status", "reasons", "flags", "sampling_rate", "leads", "heart_rate")
"""Required columns of a score file."""
_SCORES = ("logit__", "prob__", "value__")


@dataclass(frozen=True)
class Features:
    """Features of a batch. Arrays have one entry per scored recording.

    Args:
        recordings: number of scored recordings.
        shares: boolean features by name.
        categories: text features by name.
        numbers: numeric features by name, NaN if unknown.
        tried: number of all recordings, scored or rejected.
        rejected: number of rejected recordings by reason code. The key ``""`` has the total.
    """

    recordings: int
    shares: dict[str, NDArray[np.bool_]]
    categories: dict[str, NDArray[np.str_]]
    numbers: dict[str, NDArray[np.float64]]
    tried: int
    rejected: dict[str, int] = field(default_factory=dict)


def features(table: pd.DataFrame, leads: Sequence[str]) -> Features:
    """Return the features of a score file (``ecgssl.scoring.files``), or of a store with the same columns.

    Shares are missing leads, findings of the quality checks, and positive calls at each threshold. Categories are the
    sampling rate, the number of leads, and the most probable class of a multiclass task. Numbers are the heart rate and
    each output of the model: logits of labels, probabilities of exclusive classes, or values of a regression.

    Args:
        table: table with a row per recording; names and paths are not used.
        leads: leads of the preprocessing settings.
    """
    status = table["status"].to_numpy(dtype=str)
    scored = table[status == "ok"]
    found = [set(filter(None, cell.split(";"))) for cell in _texts(scored["flags"])]
    seen = [set(cell.split()) for cell in _texts(scored["leads"])]
    shares = {f"lead {lead} missing": np.array([lead not in one for one in seen], dtype=bool) for lead in leads}
    shares |= {f"finding {code}": np.array([code in one for one in found], dtype=bool) for code in get_args(ReasonCode)}
    for name in (column for column in scored if column.startswith("call__")):
        _, label, cut = name.split("__", 2)
        shares[f"{label} called at {cut}"] = scored[name].to_numpy(dtype=float, na_value=np.nan) == 1
    categories = {
        "sampling rate": np.array([f"{rate:g} Hz" for rate in _numbers(scored["sampling_rate"])], dtype=str),
        "leads": np.array([f"{len(one & set(leads))} leads" for one in seen], dtype=str),
    }
    if "predicted" in scored:
        categories["likeliest class"] = np.array(_texts(scored["predicted"]), dtype=str)
    # logits of exclusive classes are defined up to a constant, so their probabilities are used
    exclusive = "predicted" in scored
    selected = {"logit__": not exclusive, "prob__": exclusive, "value__": True}
    numbers = {"heart rate": _numbers(scored["heart_rate"])}
    for kind in (kind for kind in _SCORES if selected[kind]):
        names = [column for column in scored if column.startswith(kind)]
        numbers |= {name.replace("__", " of ", 1): _numbers(scored[name]) for name in names}
    return Features(len(scored), shares, categories, numbers, len(table), _rejected(table[status != "ok"]))


def embeddings(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the (n, E) embeddings of the scored recordings. E is 0 for a file without embeddings."""
    names = sorted(column for column in map(str, table) if column.startswith("emb_"))
    return table.loc[table["status"] == "ok", names].to_numpy(dtype=np.float64)


def table_of(rows: Mapping[str, Sequence[Any]], scores: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return results of preprocessing and scores as a table for ``features``.

    Args:
        rows: columns ``NEEDED`` except ``status``, for accepted recordings.
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

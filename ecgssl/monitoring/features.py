"""What is watched of a batch of recordings: shares, categories and numbers, by name, from the columns of a score file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import ReasonCode

NEEDED = ("status", "reasons", "flags", "sampling_rate", "leads", "heart_rate")
"""Columns of a score file that every batch has."""
_SCORES = ("logit__", "prob__", "value__")


@dataclass(frozen=True)
class Features:
    """Of a batch; arrays have an entry per scored recording.

    Args:
        recordings: scored ones.
        shares: of what a recording has or has not.
        categories: texts.
        numbers: NaN where a recording has none.
        tried: recordings that were to be scored.
        rejected: how many of them were not, by reason code; under ``""`` for any reason.
    """

    recordings: int
    shares: dict[str, NDArray[np.bool_]]
    categories: dict[str, NDArray[np.str_]]
    numbers: dict[str, NDArray[np.float64]]
    tried: int
    rejected: dict[str, int] = field(default_factory=dict)


def features(table: pd.DataFrame, leads: Sequence[str]) -> Features:
    """Of a score file (``ecgssl.scoring.files``), or of a store in the same columns.

    Shares are leads that are missing, findings of the quality checks, and calls at each threshold. Categories are the
    sampling rate, how many leads there are, and the likeliest class of a multiclass task. Numbers are the heart rate and
    each output of the model: logits, of classes that exclude each other probabilities, of a regression its values.

    Args:
        table: a row per recording; its names and paths are not looked at.
        leads: of the signal contract.
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
    # a softmax is the same for logits that all are moved
    exclusive = "predicted" in scored
    wanted = {"logit__": not exclusive, "prob__": exclusive, "value__": True}
    numbers = {"heart rate": _numbers(scored["heart_rate"])}
    for kind in (kind for kind in _SCORES if wanted[kind]):
        names = [column for column in scored if column.startswith(kind)]
        numbers |= {name.replace("__", " of ", 1): _numbers(scored[name]) for name in names}
    return Features(len(scored), shares, categories, numbers, len(table), _rejected(table[status != "ok"]))


def embeddings(table: pd.DataFrame) -> NDArray[np.float64]:
    """(n, E) of the scored recordings of an embedding file; E is 0 where it holds none."""
    names = sorted(column for column in map(str, table) if column.startswith("emb_"))
    return table.loc[table["status"] == "ok", names].to_numpy(dtype=np.float64)


def table_of(rows: Mapping[str, Sequence[Any]], scores: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """What preprocessing found and a model said, as the table that ``features`` takes.

    Args:
        rows: ``NEEDED`` but for ``status``, of recordings that all are kept.
        scores: of ``ecgssl.scoring.scores.score_cells``.
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

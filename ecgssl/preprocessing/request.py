"""What preprocessing is told of each recording of a cohort before its file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import Cohort
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides

COLUMNS = ("path", "sampling_rate", "units", "leads", "defect", "defect_action")
"""Columns of a cohort's table that a recording's signal follows from; all but ``path`` may be absent."""


@dataclass(frozen=True)
class Wanted:
    """One recording to prepare.

    Args:
        path: of the file, or ``file#member``.
        overrides: what the cohort says of it and the file does not, or says wrongly.
        defect: what its set is known to have got wrong with it; empty for nothing.
        excluded: the defect is such that the file is not to be read at all.
    """

    path: str
    overrides: MetadataOverrides = NO_OVERRIDES
    defect: str = ""
    excluded: bool = False


def wanted(cohort: Cohort, begin: int, end: int) -> list[Wanted]:
    """The recordings of rows ``begin`` to ``end`` of a cohort's table, in their order."""
    rows = cohort.table.iloc[begin:end]
    columns = [_cells(rows, name) for name in COLUMNS]
    return [
        Wanted(str(cohort.root / path), _overrides(rate, units, leads), _text(defect), _text(action) == "exclude")
        for path, rate, units, leads, defect, action in zip(*columns, strict=True)
    ]


def _cells(rows: pd.DataFrame, name: str) -> list[Any]:
    return rows[name].tolist() if name in rows else [None] * len(rows)


def _overrides(rate: Any, units: Any, leads: Any) -> MetadataOverrides:
    names = tuple(name.strip() for name in _text(leads).split(";") if name.strip())
    unit = _text(units) or None
    if pd.isna(rate) and unit is None and not names:
        return NO_OVERRIDES
    return MetadataOverrides(None if pd.isna(rate) else float(rate), unit, names or None)


def _text(cell: Any) -> str:
    return "" if pd.isna(cell) else str(cell).strip()

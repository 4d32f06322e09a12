"""Requests to prepare recordings: path, metadata overrides and known defects of each recording of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import Cohort
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides

COLUMNS = ("path", "sampling_rate", "units", "leads", "defect", "defect_action")
"""Columns of a cohort's table that determine a recording's signal. All except ``path`` are optional."""


@dataclass(frozen=True)
class RecordingRequest:
    """One recording to prepare.

    Args:
        path: path of the file, or ``file#member``.
        overrides: metadata from the cohort's table that replace the metadata in the file.
        defect: known defect listed by the data set; empty if there is none.
        excluded: whether the recording is excluded for the defect. Its file is then not read.
    """

    path: str
    overrides: MetadataOverrides = NO_OVERRIDES
    defect: str = ""
    excluded: bool = False


def recording_requests(cohort: Cohort, begin: int, end: int) -> list[RecordingRequest]:
    """Return the requests for rows ``begin`` to ``end`` (exclusive) of a cohort's table, in table order."""
    rows = cohort.table.iloc[begin:end]
    columns = [_cells(rows, name) for name in COLUMNS]
    return [
        RecordingRequest(
            str(cohort.root / path), _overrides(rate, units, leads), _text(defect), _text(action) == "exclude"
        )
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

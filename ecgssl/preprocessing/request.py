"""Requests to prepare recordings: path, metadata overrides and known defects of each recording of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides

if TYPE_CHECKING:
    import pandas as pd

    from ecgssl.datasets.cohort import Cohort

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
    if _is_missing(rate) and unit is None and not names:
        return NO_OVERRIDES
    return MetadataOverrides(None if _is_missing(rate) else float(rate), unit, names or None)


def _text(cell: Any) -> str:
    return "" if _is_missing(cell) else str(cell).strip()


def _is_missing(cell: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or pandas.NA.

    ``pandas.isna`` is not used, because scoring needs this module, and pandas takes a second to import.
    """
    try:
        # NaN and NaT differ from themselves
        return cell is None or bool(cell != cell)
    except TypeError:
        # the comparison of pandas.NA has no truth value
        return True

"""What a cohort's table says of each recording besides its targets, checked and converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import EXTERNAL, NO_PATIENT, SPLITS, rows_text
from ecgssl.datasets.table import cells as read
from ecgssl.datasets.table.dates import Order, read_dates
from ecgssl.datasets.table.issues import Issue, some, where_true
from ecgssl.io.metadata import OLDEST

_WORDS = (*SPLITS, EXTERNAL)
_Converter = Callable[[str], Any]
_CHECKS: tuple[tuple[str, _Converter, str, bool], ...] = (
    ("fold", read.fold, "Write whole numbers or nothing", False),
    ("age", read.age, "Write years between 0 and 130, or nothing", False),
    ("sex", read.sex, "Write male, female, other or nothing, or say what cells mean: --value sex:1=male", False),
    ("sampling_rate", read.sampling_rate, "Write Hz between 25 and 50000, or nothing", True),
    ("units", read.units, "Write nV, uV, mV or V, or nothing", True),
    ("leads", read.leads, "Write names such as I;II;V1, each once, '-' for a row to leave out, or nothing", True),
)
"""Column, reader, remedy, and whether a cell is technical enough to be shown."""


def drop_repeated(table: pd.DataFrame, rows: Sequence[int]) -> tuple[pd.DataFrame, list[int], list[Issue]]:
    """The table and its row numbers without rows that say nothing new, and which these are."""
    if not table.duplicated().any():
        return table, list(rows), []
    same = where_true(rows, table.duplicated(keep=False))
    issue = Issue("rows", "the same row more than once", "Keep one of them", same)
    first = ~table.duplicated()
    return table[first].reset_index(drop=True), list(where_true(rows, first)), [issue]


def check_ids(table: pd.DataFrame, rows: Sequence[int]) -> list[Issue]:
    """What is wrong with names of recordings and patients."""
    issues = []
    for column, whose in (("record_id", "recording"), ("patient_id", "patient")):
        if column not in table:
            continue
        shortened = table[column].map(read.is_shortened)
        if shortened.any():
            what = "long numbers that a spreadsheet has rounded, so that different ones look the same"
            remedy = f"Export the {whose}'s number as text"
            issues.append(Issue(column, what, remedy, where_true(rows, shortened)))
    if "record_id" in table:
        empty = table["record_id"] == ""
        double = table["record_id"].duplicated(keep=False) & ~empty
        if empty.any():
            issues.append(Issue("record_id", "empty", "Give every recording a name", where_true(rows, empty)))
        if double.any():
            remedy = "Give every recording its own name"
            issues.append(Issue("record_id", "not unique", remedy, where_true(rows, double)))
    return issues


def fill_patients(table: pd.DataFrame, suggestion: str) -> list[str]:
    """Let recordings without a patient stand for one each; returns what was assumed."""
    if "patient_id" not in table:
        table["patient_id"] = NO_PATIENT + table["record_id"].astype(str)
        note = "no patient_id: every recording counts as a patient of its own, so splits may share patients"
        return [note + suggestion]
    without = table["patient_id"] == ""
    if not without.any():
        return []
    table.loc[without, "patient_id"] = NO_PATIENT + table.loc[without, "record_id"]
    return [f"{int(without.sum())} recordings without patient_id count as patients of their own"]


def check_splits(table: pd.DataFrame, rows: Sequence[int], may_cross: bool = False) -> list[Issue]:
    """What is wrong with the stated splits; ``table["split"]`` is in lower case already.

    Args:
        table, rows: of the manifest.
        may_cross: leave patients in more than one split to ``ecgssl.leakage.overlap``, which counts them or leaves them out.
    """
    issues = []
    unknown = ~table["split"].isin([*_WORDS, ""])
    if unknown.any():
        remedy = f"Write {', '.join(_WORDS)} or nothing, or say what a cell means: --value split:dev=val"
        found = some(table.loc[unknown, "split"])
        issues.append(Issue("split", "is no split", remedy, where_true(rows, unknown), found))
    stated = table[table["split"].isin(_WORDS)]
    in_splits = stated.groupby("patient_id")["split"].nunique()
    shared = in_splits.index[in_splits > 1]
    if len(shared) and not may_cross:
        wrong = table["patient_id"].isin(shared) & table["split"].isin(_WORDS)
        what = "patients whose recordings lie in more than one split"
        remedy = "Keep each patient in one split, or set data.overlap to drop_train or warn"
        issues.append(Issue("split", what, remedy, where_true(rows, wrong)))
    return issues


def describe_recordings(table: pd.DataFrame, rows: Sequence[int], order: Order | None) -> tuple[list[Issue], list[str]]:
    """Check and convert the descriptive columns in place; cells that are not understood become empty, and an issue."""
    issues: list[Issue] = []
    notes: list[str] = []
    for column, convert, remedy, shown in _CHECKS:
        if column not in table:
            continue
        values: dict[str, Any] = {}
        bad: set[str] = set()
        for cell in table[column].unique():
            try:
                values[cell] = convert(cell)
            except ValueError:
                values[cell] = convert("")
                bad.add(cell)
        if bad:
            wrong = where_true(rows, table[column].isin(bad))
            issues.append(Issue(column, "not understood", remedy, wrong, some(bad) if shown else ()))
        table[column] = table[column].map(values)
    if "acq_time" in table:
        table["acq_time"], wrong_dates, assumed = read_dates(table["acq_time"].tolist(), rows, order)
        issues += wrong_dates
        notes += assumed
    if "age" in table:
        table["age"] = table["age"].astype(float)
        old = (table["age"] > OLDEST - 1) & (table["age"] != OLDEST)
        if old.any():
            table["age"] = table["age"].mask(old, OLDEST)
            notes.append(f"{int(old.sum())} ages above 89 are given as {OLDEST:g}, because they identify")
    for column in ("site", "device"):
        if column in table:
            table[column] = table[column].where(~table[column].map(read.is_empty), "")
    if "sex" in table:
        notes += _several_sexes(table, rows)
    return issues, notes


def _several_sexes(table: pd.DataFrame, rows: Sequence[int]) -> list[str]:
    known = table[table["sex"] != ""]
    count = known.groupby("patient_id")["sex"].nunique()
    odd = where_true(rows, table["patient_id"].isin(count.index[count > 1]))
    if not odd:
        return []
    return [f"{int((count > 1).sum())} patients have recordings of more than one sex ({rows_text(odd)})"]

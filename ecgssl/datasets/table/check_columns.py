"""Checks and conversion of the columns of a manifest: ids, splits, age, sex, dates, and properties of the signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import EXTERNAL, SPLITS, counted, rows_text
from ecgssl.datasets.table import parse_cells as parse
from ecgssl.datasets.table.parse_dates import Order, read_dates
from ecgssl.datasets.table.read_table import Issue, examples, rows_where
from ecgssl.io.metadata import OLDEST

_SPLIT_NAMES = (*SPLITS, EXTERNAL)
_CHECKS: tuple[tuple[str, Callable[[str], Any], str, bool], ...] = (
    ("fold", parse.fold, "Write whole numbers or nothing", False),
    ("age", parse.age, "Write years between 0 and 130, or nothing", False),
    (
        "sex",
        parse.sex,
        "Write male, female, other or nothing, or state the meaning of cells: --value sex:1=male",
        False,
    ),
    ("sampling_rate", parse.sampling_rate, "Write Hz between 25 and 50000, or nothing", True),
    ("units", parse.units, "Write nV, uV, mV or V, or nothing", True),
    ("leads", parse.leads, "Write names such as I;II;V1, each once, '-' for an unused signal, or nothing", True),
)
"""For each checked column: its name, its parser, the fix for invalid cells, and whether messages may show its cells.

Messages may show cells only if the column contains no personal data.
"""


def check_ids(table: pd.DataFrame, rows: Sequence[int]) -> list[Issue]:
    """Return the errors in the columns ``record_id`` and ``patient_id``."""
    issues = []
    for column, whose in (("record_id", "recording"), ("patient_id", "patient")):
        if column not in table:
            continue
        shortened = table[column].map(parse.is_shortened)
        if shortened.any():
            what = "long numbers rounded by a spreadsheet, so that different numbers look equal"
            issues.append(Issue(column, what, f"Export the number of the {whose} as text", rows_where(rows, shortened)))
    if "record_id" in table:
        empty = table["record_id"] == ""
        double = table["record_id"].duplicated(keep=False) & ~empty
        if empty.any():
            issues.append(Issue("record_id", "is empty", "Give every recording an id", rows_where(rows, empty)))
        if double.any():
            issues.append(
                Issue("record_id", "not unique", "Give every recording a unique id", rows_where(rows, double))
            )
    return issues


def check_splits(table: pd.DataFrame, rows: Sequence[int], may_cross: bool) -> list[Issue]:
    """Return the errors in the column ``split``. Its cells must be in lower case.

    With ``may_cross``, patients in more than one split are not an error: the column is replaced by another split, or
    ``ecgssl.leakage.overlap`` handles them later.
    """
    issues = []
    unknown = ~table["split"].isin([*_SPLIT_NAMES, ""])
    if unknown.any():
        names = ", ".join(_SPLIT_NAMES)
        remedy = f"Write {names} or nothing, or state the meaning of a cell: --value split:dev=val"
        found = examples(table.loc[unknown, "split"])
        issues.append(Issue("split", "is not a split", remedy, rows_where(rows, unknown), found))
    stated = table[table["split"].isin(_SPLIT_NAMES)]
    in_splits = stated.groupby("patient_id")["split"].nunique()
    shared = in_splits.index[in_splits > 1]
    if len(shared) and not may_cross:
        wrong = table["patient_id"].isin(shared) & table["split"].isin(_SPLIT_NAMES)
        what = "patients with recordings in more than one split"
        remedy = "Keep each patient in one split, or set sets.NAME.overlap to drop_train or warn"
        issues.append(Issue("split", what, remedy, rows_where(rows, wrong)))
    return issues


def convert_columns(table: pd.DataFrame, rows: Sequence[int], order: Order | None) -> tuple[list[Issue], list[str]]:
    """Convert the descriptive columns (age, sex, dates, ...) in place; invalid cells become empty.

    If ``acq_time`` contains an error, the whole column becomes empty. Ages above 89 become 90.

    Returns:
        The errors found, and notes on assumptions.
    """
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
            wrong = rows_where(rows, table[column].isin(bad))
            issues.append(Issue(column, "invalid value", remedy, wrong, examples(bad) if shown else ()))
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
            notes.append(
                f"{counted(int(old.sum()), 'age')} above 89 set to {OLDEST:g}, because a high age can identify a person"
            )
    for column in ("site", "device"):
        if column in table:
            table[column] = table[column].where(~table[column].map(parse.is_empty), "")
    if "sex" in table:
        notes += _several_sexes(table, rows)
    return issues, notes


def _several_sexes(table: pd.DataFrame, rows: Sequence[int]) -> list[str]:
    known = table[table["sex"] != ""]
    count = known.groupby("patient_id")["sex"].nunique()
    odd = rows_where(rows, table["patient_id"].isin(count.index[count > 1]))
    if not odd:
        return []
    return [f"{int((count > 1).sum())} patients have recordings of more than one sex ({rows_text(odd)})"]

"""Ages from dates of birth and dates of recording."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

import pandas as pd

from ecgssl.datasets.cohort import counted
from ecgssl.datasets.table.parse_dates import Order, read_dates
from ecgssl.datasets.table.read_table import Issue
from ecgssl.io.metadata import OLDEST

BIRTH_DATE = "birth_date"
"""Column with the date of birth. It is not kept, because it identifies a person."""
_MOST = 130
_TOLERANCE = 1.0
"""Difference in years between a given and a computed age that is no contradiction, because ages may be rounded."""


def add_ages(table: pd.DataFrame, rows: Sequence[int], order: Order | None) -> tuple[list[Issue], list[str]]:
    """Fill missing ages from ``birth_date`` and ``acq_time`` in place, and remove the column ``birth_date``.

    The age is the number of completed years at the date of the recording. A finer age and the date of the recording would
    give the date of birth. Ages above 89 become 90. An age in the table takes precedence.

    Args:
        table: table whose other columns are converted (``ecgssl.datasets.table.check_columns.convert_columns``).
        rows: row number of each row, for messages.
        order: order of day and month in dates such as 03/04/2021.

    Returns:
        The errors found, and notes on assumptions. They show no dates.
    """
    if BIRTH_DATE not in table:
        return [], []
    births, issues, notes = read_dates(table.pop(BIRTH_DATE).tolist(), rows, order, BIRTH_DATE)
    if "acq_time" not in table:
        what = "gives no age, because the date of the recording is missing"
        remedy = "Map the date of the recording with --column acq_time=COLUMN, or remove this column"
        return [*issues, Issue(BIRTH_DATE, what, remedy)], notes
    pairs = zip(births, table["acq_time"], strict=True)
    ages = [_completed_years(born, recorded) if born and recorded else math.nan for born, recorded in pairs]
    checks = (
        ("is after the date of the recording", [age < 0 for age in ages]),
        (f"is more than {_MOST} years before the recording", [age > _MOST for age in ages]),
    )
    for what, wrong in checks:
        where = tuple(row for row, bad in zip(rows, wrong, strict=True) if bad)
        if where:
            issues.append(Issue(BIRTH_DATE, what, "Correct one of the two dates, or empty the cell", where))
    given = table["age"] if "age" in table else pd.Series(math.nan, index=table.index, dtype=float)
    found = pd.Series(ages, index=table.index, dtype=float)
    found = found.where((found >= 0) & (found <= _MOST))
    differs = (given - found.clip(upper=OLDEST)).abs() > _TOLERANCE
    if differs.any():
        first = next(row for row, bad in zip(rows, differs, strict=True) if bad)
        contradict = f"{int(differs.sum())} ages contradict birth_date and acq_time, first in row {first}"
        notes.append(f"{contradict}; the ages of the table are used")
    used = given.isna() & found.notna()
    table["age"] = given.where(~used, found.clip(upper=OLDEST))
    if used.any():
        notes.append(f"{counted(int(used.sum()), 'age')} computed from birth_date and acq_time; birth_date is not kept")
    if (used & (found > OLDEST - 1)).any():
        count = int((used & (found > OLDEST - 1)).sum())
        notes.append(
            f"{counted(count, 'computed age')} above 89 set to {OLDEST:g}, because a high age can identify a person"
        )
    return issues, notes


def _completed_years(born: str, recorded: str) -> int:
    first, last = (datetime.date.fromisoformat(text[:10]) for text in (born, recorded))
    return last.year - first.year - ((last.month, last.day) < (first.month, first.day))

"""Reading of the CSV tables in a dataset release, with errors that name column and row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ecgssl.datasets.cohort import rows_text
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular
from ecgssl.io.metadata import OLDEST

FETCH_AGAIN = "Download the file again and compare it with SHA256SUMS.txt"
"""Advice in error messages about a table that differs from the release."""

_OVER_89 = (">89", "300")
"""Codes of LUDB and PTB-XL for an age above 89. Such ages are not published, because they can identify a person."""


def read_table(path: Path, needed: Sequence[str], url: str, **options: Any) -> pd.DataFrame:
    """Read a CSV file of a dataset release.

    Args:
        path: CSV file in UTF-8, with or without a byte order mark.
        needed: required columns.
        url: web page of the release, for messages.
        options: arguments of ``pandas.read_csv``.

    Raises:
        InputError: the file does not exist, cannot be read as CSV, lacks a required column or has no rows.
    """
    remedy = f"Set sets.NAME.root to the folder of the unpacked release ({url}), or download the file again"
    require_regular(path)
    try:
        table: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (ValueError, OSError) as error:
        raise InputError(Problem(str(path), "file", f"cannot be read ({type(error).__name__})", remedy)) from error
    absent = [column for column in needed if column not in table]
    if absent or table.empty:
        what = f"lacks the columns {absent}" if absent else "has no rows"
        raise InputError(Problem(str(path), "columns", what, remedy))
    return table


def add_absent_columns(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Add columns that only describe a recording (age, sex, site, device) if a table lacks them, with empty cells.

    Args:
        table: table of a release, changed in place.
        columns: names of the columns in the release.

    Returns:
        A note that names the absent columns; an empty list if there are none.
    """
    absent = [column for column in columns if column not in table]
    for column in absent:
        table[column] = ""
    return [f"the table has no column {', '.join(absent)}: unknown for all recordings"] if absent else []


def cell_problems(
    source: Path, checks: Iterable[tuple[str, ArrayLike, str, str]], rows: Sequence[int] | None = None
) -> list[Problem]:
    """Return one problem for each failed check of a table.

    Args:
        source: file of the table.
        checks: for each check, the column, a boolean mask (rows,) of the rows that fail, what is wrong, and how to fix
            it.
        rows: row number of each row in the file; by default 2, 3, ... (below a header line).
    """
    problems = []
    for column, mask, what, remedy in checks:
        places = np.flatnonzero(np.asarray(mask)).tolist()
        if places:
            numbers = [place + 2 if rows is None else rows[place] for place in places]
            problems.append(Problem(str(source), column, f"{rows_text(numbers)}: {what}", remedy))
    return problems


def known_ages(cells: pd.Series) -> pd.Series:
    """Convert a column of ages to numbers.

    Args:
        cells: age column of a release.

    Returns:
        Ages in years. Ages above 89 and up to 130, and the codes ``300`` and ``>89``, become ``OLDEST``. Other cells that are
        empty, negative, above 130 or not a number become NaN.
    """
    text = cells.astype(str).str.strip()
    numbers = pd.to_numeric(text.mask(text.isin(_OVER_89), str(OLDEST)), errors="coerce")
    plausible = numbers.where(numbers.between(0, 130))
    return plausible.mask(plausible > OLDEST - 1, OLDEST).astype(float)

"""Protection of CSV text cells against evaluation as formulas in spreadsheet programs.

Excel, LibreOffice and Google Sheets evaluate a cell that starts with one of ``= + - @``, a tab or a carriage return. A name
in a file or table can therefore run a formula on the machine of a person who opens a result (OWASP, "CSV Injection"). A leading
apostrophe marks the cell as text.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARK = "'"


def safe_cell(value: Any) -> Any:
    """Return a cell with an apostrophe in front if a spreadsheet program would evaluate it.

    Numbers, and texts that are numbers such as ``-5``, are unchanged. A text that already has an apostrophe before a formula
    gets another one, so that ``original_cell`` is the inverse.
    """
    if not isinstance(value, str) or not value.lstrip(_MARK).startswith(_FORMULA) or _is_number(value):
        return value
    return _MARK + value


def original_cell(value: Any) -> Any:
    """Return the original value of a cell that ``safe_cell`` returned."""
    if isinstance(value, str) and value.startswith(_MARK) and value.lstrip(_MARK).startswith(_FORMULA):
        return value[1:]
    return value


def safe_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with ``safe_cell`` applied to its text cells and column names."""
    columns = {
        name: column.map(safe_cell) if column.dtype == object or isinstance(column.dtype, pd.StringDtype) else column
        for name, column in table.items()
    }
    return pd.DataFrame(columns, index=table.index, columns=list(table)).rename(columns=safe_cell)


def safe_csv(table: pd.DataFrame, **options: Any) -> str:
    """Return a table as CSV text with ``safe_frame`` applied, without row names.

    Args:
        table: table to write.
        options: further arguments of ``pandas.DataFrame.to_csv``.
    """
    safe = safe_frame(table)
    texts = [column for _, column in safe.items() if column.dtype == object or isinstance(column.dtype, pd.StringDtype)]
    # some Python versions do not quote a carriage return, and spreadsheet programs would start a new row after it
    returns = any("\r" in cell for column in texts for cell in column if isinstance(cell, str))
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    text: str = safe.to_csv(index=False, lineterminator="\n", quoting=quoting, **options)
    return text


def row_writer(file: TextIO) -> Callable[[Iterable[Any]], None]:
    """Return a function that writes a row of CSV with ``safe_cell`` applied to its cells."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Iterable[Any]) -> None:
        cells = [safe_cell(cell) for cell in row]
        returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if returns else plain).writerow(cells)

    return write


def original_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return the original of a table that ``safe_frame`` returned."""
    columns = {
        name: column.map(original_cell)
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype)
        else column
        for name, column in table.items()
    }
    return pd.DataFrame(columns, index=table.index, columns=list(table)).rename(columns=original_cell)


def _is_number(text: str) -> bool:
    # without this restriction, float accepts nan, inf, underscores, and white space at the ends
    if not set(text) <= set("0123456789+-.eE"):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True

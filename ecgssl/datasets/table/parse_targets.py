"""Conversion of table columns to binary, multilabel, multiclass and regression targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.datasets.cohort import counted
from ecgssl.datasets.table.parse_cells import decimal_mark, is_empty, number
from ecgssl.datasets.table.read_table import Issue, examples, rows_where

_UNCERTAIN = ("u", "-1", "-1.0")
_COUNTS_AS = {"unknown": math.nan, "negative": 0.0, "positive": 1.0}


@dataclass
class Columns:
    """Targets read from one column.

    Args:
        values: for each target, an array (rows,) of float64; NaN means unknown.
        kinds: declaration of each target.
        issues: errors that list the rows with invalid cells.
        notes: message with the number of uncertain cells and the value used for them; empty if there are none.
    """

    values: dict[str, NDArray[np.float64]]
    kinds: dict[str, Target]
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_target(name: str, target: Target, cells: pd.Series, rows: Sequence[int]) -> Columns:
    """Convert a column to targets.

    Args:
        name: name of the target.
        target: declaration of the target.
        cells: cells of the column, without leading and trailing blanks.
        rows: row number of each cell, for messages.

    Returns:
        One target; for the kind multilabel, one target per class, named ``name:class``. Invalid cells are reported as
        errors, and their values are NaN (unknown). If the decimal separator of a regression target is unclear, all
        values are NaN.
    """
    # unique() and isin() of pandas treat strings as equal if they differ only after a NUL character
    distinct = list(dict.fromkeys(str(cell) for cell in cells))
    return _READERS[target.kind](name, target, cells, distinct, rows)


def _binary(name: str, target: Target, cells: pd.Series, distinct: list[str], rows: Sequence[int]) -> Columns:
    meaning = _meaning({1.0: target.positives, 0.0: target.negatives, math.nan: target.unknown or ()})
    uncertain = {cell for cell in distinct if cell.casefold() in _UNCERTAIN and cell.casefold() not in meaning}
    meaning |= {cell.casefold(): _COUNTS_AS[target.uncertain] for cell in uncertain}
    out, issue = _look_up(name, meaning, cells, distinct, rows, "is neither a positive nor a negative cell")
    return Columns({name: out}, {name: target}, issue, _uncertain(name, target, sum(_among(cells, uncertain))))


def _multiclass(name: str, target: Target, cells: pd.Series, distinct: list[str], rows: Sequence[int]) -> Columns:
    codes = {float(code): words for code, words in enumerate((target.classes or {}).values())}
    meaning = _meaning(codes | {math.nan: target.unknown or ()})
    uncertain = {cell for cell in distinct if cell.casefold() in _UNCERTAIN and cell.casefold() not in meaning}
    meaning |= dict.fromkeys((cell.casefold() for cell in uncertain), math.nan)
    out, issue = _look_up(name, meaning, cells, distinct, rows, "is not one of its classes")
    return Columns({name: out}, {name: target}, issue, _uncertain(name, target, sum(_among(cells, uncertain))))


def _multilabel(name: str, target: Target, cells: pd.Series, distinct: list[str], rows: Sequence[int]) -> Columns:
    classes = list(target.classes or {})
    word = {cell.casefold(): place for place, names in enumerate((target.classes or {}).values()) for cell in names}
    unknown = {cell.casefold() for cell in target.unknown or ()}
    none = {cell.casefold() for cell in target.negatives}
    read: dict[str, NDArray[np.float64]] = {}
    doubtful: set[str] = set()
    strange: set[str] = set()
    for cell in distinct:
        labels = np.full(len(classes), math.nan)
        read[cell] = labels
        if cell.casefold() in none:
            labels[:] = 0.0
        elif cell.casefold() in _UNCERTAIN and cell.casefold() not in word:
            doubtful.add(cell)
        elif not (cell.casefold() in unknown or (is_empty(cell) and cell.casefold() not in word)):
            labels[:] = 0.0
            for part in filter(None, (part.strip() for part in cell.split(target.separator))):
                asked = part.casefold() not in word and part.endswith("?")
                place = word.get((part[:-1].rstrip() if asked else part).casefold())
                if place is None:
                    strange.add(cell)
                    continue
                doubtful |= {cell} if asked else set()
                labels[place] = _COUNTS_AS[target.uncertain] if asked else 1.0
            if cell in strange:
                labels[:] = math.nan
    issues = []
    if strange:
        what = f"contains a label that is not one of its classes ({len(classes)} are declared)"
        issues.append(Issue(name, what, _declare(target), rows_where(rows, _among(cells, strange)), examples(strange)))
    table = np.stack([read[cell] for cell in map(str, cells)]) if len(cells) else np.empty((0, len(classes)))
    names = [f"{name}:{label}" for label in classes]
    notes = _uncertain(name, target, sum(_among(cells, doubtful)))
    return Columns({n: table[:, i] for i, n in enumerate(names)}, dict.fromkeys(names, Target()), issues, notes)


def _regression(name: str, target: Target, cells: pd.Series, distinct: list[str], rows: Sequence[int]) -> Columns:
    unknown = {cell.casefold() for cell in target.unknown or ()}
    uncertain = {cell for cell in distinct if cell.casefold() == "u" and "u" not in unknown}
    numbers = {
        cell: _without_unit(cell, target.unit)
        for cell in distinct
        if not (is_empty(cell) or cell.casefold() in unknown or cell in uncertain)
    }
    try:
        mark = target.decimal or decimal_mark(numbers.values())
    except ValueError as error:
        both = str(error) == "both"
        what = "some decimals have a point and some a comma" if both else "1.234 could mean 1234"
        marked = [cell for cell, text in numbers.items() if "." in text or "," in text]
        issue = Issue(
            name, what, f"Set decimal of target {name!r} to '.' or ','", rows_where(rows, _among(cells, marked))
        )
        return Columns({name: np.full(len(cells), math.nan)}, {name: target}, [issue])
    read = dict.fromkeys(distinct, math.nan)
    strange: set[str] = set()
    beyond: set[str] = set()
    for cell, text in numbers.items():
        try:
            value = number(text, mark)
        except ValueError:
            strange.add(cell)
            continue
        if target.range and not target.range[0] <= value <= target.range[1]:
            beyond.add(cell)
        else:
            read[cell] = value
    issues = []
    if strange:
        remedy = "Write a number or nothing, or declare these cells as unknown"
        issues.append(
            Issue(name, "is not a number", remedy, rows_where(rows, _among(cells, strange)), examples(strange))
        )
    if beyond and target.range:
        what = f"is outside the plausible range {target.range[0]:g} to {target.range[1]:g} {target.unit or ''}".rstrip()
        remedy = "Correct or empty the cells, or extend range"
        issues.append(Issue(name, what, remedy, rows_where(rows, _among(cells, beyond)), examples(beyond)))
    notes = _uncertain(name, target, sum(_among(cells, uncertain)))
    return Columns({name: np.array([read[cell] for cell in cells], dtype=np.float64)}, {name: target}, issues, notes)


def _among(cells: pd.Series, chosen: Collection[str]) -> list[bool]:
    return [cell in chosen for cell in cells]


def _without_unit(cell: str, unit: str | None) -> str:
    return cell[: -len(unit)].rstrip() if unit and cell.casefold().endswith(unit.casefold()) else cell


def _meaning(words: Mapping[float, Sequence[str]]) -> dict[str, float]:
    return {cell.casefold(): value for value, cells in words.items() for cell in cells}


def _look_up(
    name: str, meaning: Mapping[str, float], cells: pd.Series, distinct: list[str], rows: Sequence[int], what: str
) -> tuple[NDArray[np.float64], list[Issue]]:
    strange = {cell for cell in distinct if cell.casefold() not in meaning and not is_empty(cell)}
    read = {cell: meaning.get(cell.casefold(), math.nan) for cell in distinct}
    issues = []
    if strange:
        remedy = "Correct the cells, or declare their meaning (positive, negative, classes, unknown)"
        issues.append(Issue(name, what, remedy, rows_where(rows, _among(cells, strange)), examples(strange)))
    return np.array([read[cell] for cell in cells], dtype=np.float64), issues


def _declare(target: Target) -> str:
    return f"Declare it as a class or as unknown; labels are separated by {target.separator!r}"


def _uncertain(name: str, target: Target, count: int) -> list[str]:
    counts = "counts" if count == 1 else "count"
    return [f"target {name}: {counted(count, 'uncertain cell')} {counts} as {target.uncertain}"] if count else []


_READERS: dict[str, Callable[[str, Target, pd.Series, list[str], Sequence[int]], Columns]] = {
    "binary": _binary,
    "multilabel": _multilabel,
    "multiclass": _multiclass,
    "regression": _regression,
}

"""Header of a CSV file with ECG samples: lead names with optional units, and an optional time column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ecgssl.io.metadata import millivolts
from ecgssl.io.text_encoding import decode
from ecgssl.signal.leads import identify_leads

CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,5}):([0-9]{1,2}(?:[.,][0-9]{1,9})?)")
"""Time in hours (optional), minutes and seconds."""

_TIME = re.compile(r"(?P<name>(elapsed[ _])?time|t)(_(?P<unit>s|ms))?", re.I)
_COUNTER = re.compile(r"samples?( ?#| number)?|#", re.I)
_INTERVAL = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,12})?) ?(s|sec|seconds|ms)", re.I)
_QUOTES = " '\""
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?|nan", re.I)
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_MANIFEST_COLUMNS = {"record_id", "path"}
_LONGEST = 4096


@dataclass(frozen=True)
class Columns:
    """Columns described by the header of a CSV file.

    Args:
        delimiter: comma, semicolon or tab. With semicolons, numbers may have a decimal comma.
        names: names of all columns, without units.
        units: unit of each column; ``None`` if absent.
        rows: number of header rows: 2 if the second row contains the units, otherwise 1.
        time: index of the time column; ``None`` if absent.
        time_unit: unit of the time column in s, for example 0.001; ``None`` if absent or unknown. It is not used for times
            of the form ``0:00.004``.
        interval: sampling interval in s from the unit of a column of sample numbers; ``None`` if absent.
    """

    delimiter: str
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    rows: int
    time: int | None
    time_unit: float | None
    interval: float | None


def parse_columns(line: str, second: str = "") -> Columns | None:
    """Parse the header of a table of samples.

    Args:
        line: first row.
        second: second row, which may contain the units, as PhysioNet's ``rdsamp`` writes them.

    Returns:
        The columns; ``None`` if the first row contains none of the twelve leads, is the header of a manifest, or has
        more than 4096 characters.
    """
    if len(line) > _LONGEST:
        return None
    # semicolon is the default, so that a single column may contain numbers with a decimal comma
    delimiter = max(";,\t", key=line.count)
    split = [_split_unit(cell) for cell in _cells(line, delimiter)]
    names = tuple(name for name, _ in split)
    if _MANIFEST_COLUMNS & {name.lower() for name in names} or not any(identify_leads(names)):
        return None
    units = [unit for _, unit in split]
    below = [cell.strip("()[]") for cell in _cells(second, delimiter)]
    has_units = _are_units(names, below)
    if has_units:
        units = [unit or cell or None for unit, cell in zip(units, below, strict=True)]
    times = [i for i, name in enumerate(names) if _TIME.fullmatch(name)]
    time = times[0] if times else None
    seconds = interval = None
    if time is not None:
        match = _TIME.fullmatch(names[time])
        unit = units[time] or (match["unit"] if match else None)
        seconds = _SECONDS.get(unit.lower()) if unit else None
    for name, unit in zip(names, units, strict=True):
        step = _INTERVAL.fullmatch(unit) if unit and _COUNTER.fullmatch(name) else None
        interval = float(step[1]) * _SECONDS[step[2].lower()] if step else interval
    return Columns(delimiter, names, tuple(units), 2 if has_units else 1, time, seconds, interval)


def is_sample_table(head: bytes) -> bool:
    """Return whether the first bytes of a file are a header of lead names, followed by a row of numbers or by no row."""
    if _CONTROL.search(head):
        return False
    lines = decode(head).splitlines()
    columns = parse_columns(lines[0], lines[1] if len(lines) > 2 else "") if lines else None
    if columns is None:
        return False
    if len(lines) <= columns.rows:
        return True
    # if the text ends within the row, only its first cell is checked
    cells = lines[columns.rows].split(columns.delimiter)[: 1 if len(lines) == columns.rows + 1 else None]
    return is_numbers([cell for i, cell in enumerate(cells) if i != columns.time or not is_clock(cell)])


def table_of_other_content(head: bytes) -> Literal["recordings", "unknown"] | None:
    """Return what the first bytes of a text table, which ``is_sample_table`` does not recognise, seem to contain.

    Returns:
        ``recordings`` if the first row has a column record_id or path; ``unknown`` for another text whose first two rows
        have the same number of cells, at least two; ``None`` for other files.
    """
    if _CONTROL.search(head):
        return None
    first, *others = decode(head).splitlines() or [""]
    delimiter = max(";,\t", key=first.count)
    names = _cells(first, delimiter)
    if len(names) < 2:
        return None
    if _MANIFEST_COLUMNS & {name.lower() for name in names}:
        return "recordings"
    return "unknown" if others and len(_cells(others[0], delimiter)) == len(names) else None


def is_numbers(cells: Sequence[str]) -> bool:
    """Return whether every cell is a number, ``nan`` or empty."""
    return all(not cell.strip() or _NUMBER.fullmatch(cell.strip().strip('"')) for cell in cells)


def is_clock(cell: str) -> bool:
    """Return whether a cell is a time of the form ``0:00.004`` or ``1:00:00.004``, with or without quotes."""
    return CLOCK.fullmatch(cell.strip(_QUOTES)) is not None


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a row without quotes and surrounding spaces; an empty list if the row is not valid CSV."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip(_QUOTES) for cell in cells]


def _are_units(names: Sequence[str], cells: Sequence[str]) -> bool:
    """Return whether a row contains units: no numbers, and a voltage in the column of a lead."""
    if len(cells) != len(names) or any(cell and is_numbers([cell]) for cell in cells):
        return False
    return any(millivolts(cell) is not None for cell, lead in zip(cells, identify_leads(names), strict=True) if lead)


def _split_unit(cell: str) -> tuple[str, str | None]:
    """Split a column name such as ``I (uV)`` or ``I [uV]`` into name and unit; the unit is ``None`` if absent."""
    for opening, closing in ("()", "[]"):
        name, found, rest = cell.partition(opening)
        if found and rest.endswith(closing):
            return name.strip(), rest[:-1].strip()
    return cell, None

"""Header row of a CSV file with ECG samples: lead names with optional units, and an optional time column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.io.text_encoding import decode
from ecgssl.signal.leads import identify_leads

_TIME = re.compile(r"(?P<name>time|t)(_(?P<unit>s|ms))?", re.I)
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?|nan", re.I)
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_MANIFEST_COLUMNS = {"record_id", "path"}
_LONGEST = 4096


@dataclass(frozen=True)
class Columns:
    """Columns described by the header row of a CSV file.

    Args:
        delimiter: comma, semicolon or tab. With semicolons, numbers may have a decimal comma.
        names: names of all columns, without units.
        units: unit of each column; ``None`` if absent.
        time: index of the time column; ``None`` if absent.
        time_unit: unit of the time column in s, for example 0.001; ``None`` if absent or unknown.
    """

    delimiter: str
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    time: int | None
    time_unit: float | None


def parse_columns(line: str) -> Columns | None:
    """Parse a header row. Return ``None`` if it contains none of the twelve leads, or is the header of a manifest."""
    if len(line) > _LONGEST:
        return None
    # semicolon is the default, so that a single column may contain numbers with a decimal comma
    delimiter = max(";,\t", key=line.count)
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return None
    split = [_split_unit(cell.strip()) for cell in cells]
    names = tuple(name for name, _ in split)
    if _MANIFEST_COLUMNS & {name.lower() for name in names} or not any(identify_leads(names)):
        return None
    times = [i for i, name in enumerate(names) if _TIME.fullmatch(name)]
    time = times[0] if times else None
    seconds = None
    if time is not None:
        match = _TIME.fullmatch(names[time])
        unit = split[time][1] or (match["unit"] if match else None)
        seconds = _SECONDS.get(unit.lower()) if unit else None
    return Columns(delimiter, names, tuple(unit for _, unit in split), time, seconds)


def is_sample_table(head: bytes) -> bool:
    """Return whether the first bytes of a file are a header row of lead names and a row of numbers."""
    if _CONTROL.search(head):
        return False
    lines = decode(head).splitlines()
    columns = parse_columns(lines[0]) if lines else None
    if columns is None:
        return False
    # if the text ends within the second row, only its first cell is checked
    return len(lines) < 2 or is_numbers(lines[1].split(columns.delimiter)[: 1 if len(lines) == 2 else None])


def is_sample_file(path: Path) -> bool:
    """Return whether a file starts like a table of samples; ``False`` if it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return is_sample_table(stream.read(_LONGEST))
    except OSError:
        return False


def is_numbers(cells: Sequence[str]) -> bool:
    """Return whether every cell is a number, ``nan`` or empty."""
    return all(not cell.strip() or _NUMBER.fullmatch(cell.strip().strip('"')) for cell in cells)


def _split_unit(cell: str) -> tuple[str, str | None]:
    """Split a column name such as ``I (uV)`` or ``I [uV]`` into lead name and unit."""
    for opening, closing in ("()", "[]"):
        name, found, rest = cell.partition(opening)
        if found and rest.endswith(closing):
            return name.strip(), rest[:-1].strip()
    return cell, None

"""The header row of a text table of samples: lead names with or without unit, and perhaps a column of times."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.signal.leads import canonical

_TIME = re.compile(r"(?P<name>time|t)(_(?P<unit>s|ms))?", re.I)
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?|nan", re.I)
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_OF_A_MANIFEST = {"record_id", "path"}
_LONGEST = 4096


@dataclass(frozen=True)
class Columns:
    """What a header row says.

    Args:
        delimiter: comma, semicolon or tab; with semicolon, numbers may have a decimal comma.
        names: of all columns, without unit.
        units: of each, ``None`` where it says none.
        time: number of the column of times, or ``None``.
        time_unit: its unit in seconds, or ``None`` where it says none that is known.
    """

    delimiter: str
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    time: int | None
    time_unit: float | None


def parse_columns(line: str) -> Columns | None:
    """Parse a header row; ``None`` where no column is one of the twelve leads, or where it is a manifest's."""
    if len(line) > _LONGEST:
        return None
    # of a single column nothing is known, and its numbers may have a decimal comma
    delimiter = max(";,\t", key=line.count)
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return None
    split = [_split(cell.strip()) for cell in cells]
    names = tuple(name for name, _ in split)
    if _OF_A_MANIFEST & {name.lower() for name in names} or not any(canonical(name) for name in names):
        return None
    times = [i for i, name in enumerate(names) if _TIME.fullmatch(name)]
    time = times[0] if times else None
    seconds = None
    if time is not None:
        match = _TIME.fullmatch(names[time])
        said = split[time][1] or (match["unit"] if match else None)
        seconds = _SECONDS.get(said.lower()) if said else None
    return Columns(delimiter, names, tuple(unit for _, unit in split), time, seconds)


def is_sample_table(head: bytes) -> bool:
    """Whether text begins with such a header row and, below it, a row of numbers."""
    if _CONTROL.search(head):
        return False
    lines = decode(head).splitlines()
    columns = parse_columns(lines[0]) if lines else None
    if columns is None:
        return False
    # a cut second row still starts with numbers; without one it is a table without samples
    return len(lines) < 2 or is_numbers(lines[1].split(columns.delimiter)[: 1 if len(lines) == 2 else None])


def is_sample_file(path: Path) -> bool:
    """Whether a file begins as ``is_sample_table`` asks; not where it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return is_sample_table(stream.read(_LONGEST))
    except OSError:
        return False


def is_numbers(cells: Sequence[str]) -> bool:
    """Whether every cell is a number, ``nan`` or empty."""
    return all(not cell.strip() or _NUMBER.fullmatch(cell.strip().strip('"')) for cell in cells)


def decode(data: bytes) -> str:
    """Text in UTF-8, or in the one-byte encoding of older exports (the micro sign of uV is why it matters)."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _split(cell: str) -> tuple[str, str | None]:
    """``I (uV)`` and ``I [uV]`` to name and unit."""
    for opening, closing in ("()", "[]"):
        name, found, rest = cell.partition(opening)
        if found and rest.endswith(closing):
            return name.strip(), rest[:-1].strip()
    return cell, None

"""A table as it lies on disk, CSV or Parquet: text cells by column, numbered as a spreadsheet numbers them."""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.datasets.table.issues import Issue
from ecgssl.errors import InputError, Problem

_MARKS = "\ufeff\u200b\u200c\u200d\u2060"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NOT_TEXT = (
    (b"PK\x03\x04", "is an Excel workbook or another ZIP file"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook"),
    (b"\x1f\x8b", "is compressed (gzip)"),
    (b"%PDF", "is a PDF"),
)


@dataclass
class Sheet:
    """Cells of a table.

    Args:
        table: text without blanks at its ends, a column per named column of the file.
        rows: row number of each line of ``table``; the header is row 1, also of a Parquet file.
        issues: columns named twice, no rows, or rows of another length than the header, which are not in ``table``.
        notes: how the file was read, where that was not plain.
        blanks: by column, the rows in which blanks at the ends of a cell were removed.
    """

    table: pd.DataFrame
    rows: list[int]
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blanks: dict[str, list[int]] = field(default_factory=dict)


def read_sheet(path: Path, encoding: str | None = None) -> Sheet:
    """Read a table.

    Args:
        path: CSV separated by comma, semicolon or tab, or Parquet; which one is found by content.
        encoding: of a CSV. By default UTF-8, or UTF-16 where the file begins with its mark; what is neither is read as
            Windows-1252, with a note.

    Raises:
        InputError: where it is absent or no such table.
    """
    where = str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(Problem(where, "file", "does not exist", "Name a CSV with record_id and path")) from None
    except OSError as error:
        raise InputError(Problem(where, "file", f"cannot be read ({error.strerror})", "Name a readable CSV")) from None
    if data.startswith(b"PAR1"):
        header, body = _parquet(where, data)
        notes: list[str] = []
    else:
        text, notes = _decode(where, data, encoding)
        header, body = _csv(where, text)
    return _sheet(header, body, notes)


def _sheet(header: list[str], body: list[tuple[int, list[str]]], notes: list[str]) -> Sheet:
    names = [_strip(name) for name in header]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    issues = [Issue(name, "the column occurs twice", "Keep one of them") for name in twice]
    if not body:
        issues.append(Issue("rows", "there are none", "Add a row per recording"))
    # separators at the end of a line, behind the last column
    body = [(row, cells if any(map(_strip, cells[len(names) :])) else cells[: len(names)]) for row, cells in body]
    ragged = tuple(row for row, cells in body if len(cells) != len(names))
    if ragged:
        what = f"not {len(names)} cells like the header"
        issues.append(Issue("row length", what, "Quote cells that hold the separator", ragged))
    body = [(row, cells) for row, cells in body if len(cells) == len(names)]
    rows = [row for row, _ in body]
    columns: dict[str, list[str]] = {}
    blanks: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        raw = [cells[place] for _, cells in body]
        cells = [_strip(cell) for cell in raw]
        if not name:
            filled = sum(map(bool, cells))
            notes += [f"a column without a name holds {filled} cells; it is not used"] if filled else []
            continue
        if name not in columns:
            columns[name] = cells
            blanks[name] = [row for row, old, new in zip(rows, raw, cells, strict=True) if old != new]
    return Sheet(pd.DataFrame(columns, dtype=object), rows, issues, notes, blanks)


def _strip(cell: str) -> str:
    # marks without width stand at the ends of cells copied from web pages, and \ufeff inside concatenated files
    return cell.strip().strip(_MARKS).strip()


def _decode(where: str, data: bytes, encoding: str | None) -> tuple[str, list[str]]:
    for magic, what in _NOT_TEXT:
        if data.startswith(magic):
            raise InputError(Problem(where, "content", what, "Save it as 'CSV UTF-8', or as Parquet"))
    if encoding is not None:
        try:
            return data.decode(encoding).lstrip("\ufeff"), []
        except LookupError:
            known = "Known are utf-8, utf-16, cp1252, latin-1, cp850, mac-roman and others of Python"
            raise InputError(Problem("data.encoding", encoding, "is no encoding", known)) from None
        except UnicodeError as error:
            raise InputError(
                Problem(where, "encoding", f"is not {encoding} ({_place(data, error)})", "Name another")
            ) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), []
        except UnicodeError as error:
            what = f"begins as UTF-16 and breaks off ({_place(data, error)})"
            raise InputError(Problem(where, "encoding", what, "Save it as 'CSV UTF-8'")) from None
    if b"\0" in data:
        what = "holds zero bytes: UTF-16 without its mark, or no text at all"
        raise InputError(Problem(where, "encoding", what, "Save it as 'CSV UTF-8', or set data.encoding to utf-16-le"))
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        place = _place(data, error)
    try:
        note = f"the table is not UTF-8 ({place}); it is read as Windows-1252, set data.encoding where that is wrong"
        return data.decode("cp1252"), [note]
    except UnicodeDecodeError:
        what = f"is neither UTF-8 nor Windows-1252 ({place})"
        raise InputError(Problem(where, "encoding", what, "Save it as 'CSV UTF-8', or set data.encoding")) from None


def _place(data: bytes, error: UnicodeError) -> str:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    return f"seen first in line {data.count(bytes([10]), 0, start) + 1}"


def _csv(where: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    first = text.partition("\n")[0]
    stated = _SEPARATOR_LINE.fullmatch(first.strip("\r"))
    if stated:
        # a line that only Excel writes, and hides
        text, delimiter = text.partition("\n")[2], stated[1]
    else:
        bare = re.sub(r'"[^"]*"', "", first)
        delimiter = max(",;\t", key=bare.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        records = list(enumerate(reader, 1))
    except csv.Error as error:
        what = f"is no CSV (line {reader.line_num}: {error})"
        raise InputError(
            Problem(where, "content", what, "Close or double the quotes, or save it as CSV anew")
        ) from None
    if not records:
        raise InputError(Problem(where, "content", "is empty", "Name a CSV with record_id and path"))
    return records[0][1], [(row, cells) for row, cells in records[1:] if any(map(_strip, cells))]


def _parquet(where: str, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        what = f"begins as Parquet and cannot be read ({type(error).__name__})"
        raise InputError(Problem(where, "content", what, "Write it anew")) from None
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), list(enumerate(map(list, zip(*columns, strict=True)), 2))


def _text(value: Any) -> str:
    """A typed cell as a CSV would hold it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        # identities that met a missing neighbour were made floats
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ";".join(map(_text, value))
    return str(value)

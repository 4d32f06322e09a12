"""Reading of CSV and Parquet tables as text cells, and mapping of their columns to the standard column names."""

from __future__ import annotations

import csv
import datetime
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import rows_text
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular

_MARKS = "\ufeff\u200b\u200c\u200d\u2060"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NOT_TEXT = (
    (b"PK\x03\x04", "is an Excel workbook or another ZIP file"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook"),
    (b"\x1f\x8b", "is compressed (gzip)"),
    (b"%PDF", "is a PDF"),
)
_SHOWN = 3
_LONGEST = 20


@dataclass(frozen=True)
class Issue:
    """An error in a table.

    Args:
        column: name of the affected column, target or parameter, or the affected part of the file.
        what: description of the error. It may contain column names, but no cell of the table.
        remedy: how to fix the error. It may contain column names, but no cell of the table.
        rows: numbers of the affected rows (the header is row 1); empty if the error concerns the whole table.
        cells: examples of the affected cells. They may contain personal data. Show them only to the user who provided
            the table, and do not write them to a file or page.
    """

    column: str
    what: str
    remedy: str
    rows: tuple[int, ...] = ()
    cells: tuple[str, ...] = ()

    def problem(self, where: str) -> Problem:
        """Convert the error to a ``Problem`` that lists rows and example cells."""
        parts = [rows_text(self.rows)] if self.rows else []
        if self.cells:
            parts.append(", ".join(repr(cell[:_LONGEST]) for cell in self.cells))
        return Problem(where, self.column, ": ".join([*parts, self.what]), self.remedy)


def examples(cells: Iterable[str]) -> tuple[str, ...]:
    """Return the first three distinct cells in alphabetical order, as examples for a message."""
    return tuple(sorted(set(cells))[:_SHOWN])


def rows_where(rows: Sequence[int], mask: Iterable[bool]) -> tuple[int, ...]:
    """Return the row numbers at which ``mask`` is true."""
    return tuple(row for row, chosen in zip(rows, mask, strict=True) if chosen)


@dataclass
class Table:
    """Text cells of a table file.

    Args:
        cells: cells without leading and trailing blanks. Columns without a name are left out.
        rows: row number in the file of each row of ``cells``; the header is row 1, also for Parquet.
        issues: errors: duplicate columns, no rows, or rows with a different number of cells than the header. Rows with
            a different number of cells are not in ``cells``.
        notes: assumptions made when reading the file.
        blanks: for each column, the rows in which leading or trailing blanks were removed.
    """

    cells: pd.DataFrame
    rows: list[int]
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blanks: dict[str, list[int]] = field(default_factory=dict)


def read_table(path: Path, encoding: str | None = None) -> Table:
    """Read the cells of a CSV or Parquet file as text.

    Args:
        path: Parquet file, or CSV file separated by comma, semicolon or tab, or by the character in a first line such as
            ``sep=|``. The format is detected from the content.
        encoding: encoding of a CSV file. By default, UTF-16 is used for a file that begins with its byte order mark,
            otherwise UTF-8. A file that is not valid UTF-8 is read as Windows-1252, and a note is added.

    Raises:
        InputError: the file does not exist, is a pipe or a device, or cannot be read as a table, or the encoding is unknown.
    """
    where = str(path)
    require_regular(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(Problem(where, "file", "does not exist", "Set the path of a CSV or Parquet file")) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise InputError(Problem(where, "file", what, "Check the permissions of the file")) from None
    if data.startswith(b"PAR1"):
        header, body = _parquet(where, data)
        notes: list[str] = []
    else:
        text, notes = _decode(where, data, encoding)
        header, body = _csv(where, text)
    return _table(header, body, notes)


def _table(header: list[str], body: list[tuple[int, list[str]]], notes: list[str]) -> Table:
    names = [unicodedata.normalize("NFC", _strip(name)) for name in header]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    issues = [Issue(name, "the column occurs more than once", "Keep one of these columns") for name in twice]
    if not body:
        issues.append(Issue("rows", "the table has no rows", "Add one row per recording"))
    # separators at the end of a line add empty cells after the last column; drop them
    body = [(row, cells if any(map(_strip, cells[len(names) :])) else cells[: len(names)]) for row, cells in body]
    ragged = tuple(row for row, cells in body if len(cells) != len(names))
    if ragged:
        what = f"the number of cells differs from the header, which has {len(names)}"
        issues.append(Issue("row length", what, "Quote cells that contain the separator", ragged))
    body = [(row, cells) for row, cells in body if len(cells) == len(names)]
    rows = [row for row, _ in body]
    columns: dict[str, list[str]] = {}
    blanks: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        raw = [cells[place] for _, cells in body]
        cells = [_strip(cell) for cell in raw]
        if not name:
            filled = sum(map(bool, cells))
            notes += [f"a column without a name has {filled} cells; it is not used"] if filled else []
            continue
        if name not in columns:
            columns[name] = cells
            blanks[name] = [row for row, old, new in zip(rows, raw, cells, strict=True) if old != new]
    return Table(pd.DataFrame(columns, dtype=object), rows, issues, notes, blanks)


def _strip(cell: str) -> str:
    # text copied from web pages may contain zero-width characters, and concatenated files may contain \ufeff
    return cell.strip().strip(_MARKS).strip()


def _decode(where: str, data: bytes, encoding: str | None) -> tuple[str, list[str]]:
    for magic, what in _NOT_TEXT:
        if data.startswith(magic):
            raise InputError(Problem(where, "content", what, "Save the table as 'CSV UTF-8' or as Parquet"))
    if encoding is not None:
        try:
            return data.decode(encoding).lstrip("\ufeff"), []
        except LookupError:
            known = "Use an encoding that Python knows, such as utf-8, utf-16, cp1252, latin-1, cp850 or mac-roman"
            raise InputError(Problem("sets.NAME.encoding", encoding, "is not a known encoding", known)) from None
        except UnicodeError as error:
            what = f"is not {encoding} ({_place(data, error)})"
            raise InputError(
                Problem(where, "encoding", what, "Set sets.NAME.encoding to the encoding of the file")
            ) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), []
        except UnicodeError as error:
            what = f"begins with a UTF-16 byte order mark but is not valid UTF-16 ({_place(data, error)})"
            raise InputError(Problem(where, "encoding", what, "Save the table as 'CSV UTF-8'")) from None
    if b"\0" in data:
        what = "contains zero bytes: it is UTF-16 without a byte order mark, or not a text file"
        fix = "Save the table as 'CSV UTF-8', or set sets.NAME.encoding to utf-16-le"
        raise InputError(Problem(where, "encoding", what, fix))
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        place = _place(data, error)
    try:
        note = f"the table is not UTF-8 ({place}) and is read as Windows-1252; if that is wrong, set sets.NAME.encoding"
        return data.decode("cp1252"), [note]
    except UnicodeDecodeError:
        what = f"is neither UTF-8 nor Windows-1252 ({place})"
        raise InputError(
            Problem(where, "encoding", what, "Save the table as 'CSV UTF-8', or set sets.NAME.encoding")
        ) from None


def _place(data: bytes, error: UnicodeError) -> str:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    return f"first in line {data.count(bytes([10]), 0, start) + 1}"


def _csv(where: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    first = text.partition("\n")[0]
    stated = _SEPARATOR_LINE.fullmatch(first.strip("\r"))
    if stated:
        # Excel may write the delimiter in the first line, for example "sep=;"
        text, delimiter = text.partition("\n")[2], stated[1]
    else:
        bare = re.sub(r'"[^"]*"', "", first)
        delimiter = max(",;\t", key=bare.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        records = list(enumerate(reader, 1))
    except csv.Error as error:
        what = f"is not a valid CSV (line {reader.line_num}: {error})"
        remedy = "Close or double the quotes, or save the table as CSV again"
        raise InputError(Problem(where, "content", what, remedy)) from None
    if not records:
        raise InputError(Problem(where, "content", "is empty", "Use a CSV file with the columns record_id and path"))
    return records[0][1], [(row, cells) for row, cells in records[1:] if any(map(_strip, cells))]


def _parquet(where: str, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        what = f"is not a valid Parquet file ({type(error).__name__})"
        raise InputError(Problem(where, "content", what, "Create the Parquet file again")) from None
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), list(enumerate(map(list, zip(*columns, strict=True)), 2))


def _text(value: Any) -> str:
    """Convert a cell of a Parquet file to text.

    Missing values become empty, booleans 1 or 0, dates ISO 8601, and lists are joined by ``;``.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        # pandas stores integer columns with missing values as float, so 3.0 means 3
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ";".join(map(_text, value))
    return str(value)


_SYNONYMS: dict[str, str] = {
    "record_id": "record_id id ecg_id exam_id study_id test_id recording recording_id accession_number uid ekg_id "
    "befundnummer auftragsnummer untersuchungs_id",
    "path": "path file filename file_path ecg_file ecg_path xml_file dicom_file waveform_path filename_hr datei dateiname "
    "dateipfad pfad ekg_datei",
    "patient_id": "patient_id patient patid pid mrn medical_record_number subject_id subject person_id pseudonym "
    "patienten_id patientennummer patnr",
    "split": "split set subset partition",
    "fold": "fold strat_fold cv_fold",
    "acq_time": "acq_time acquisition_time acquisition_date acquisition_datetime ecg_date ecg_time test_date recording_date "
    "recorded_at datetime timestamp date aufnahmezeit aufnahmedatum untersuchungsdatum zeitpunkt datum",
    "birth_date": "birth_date date_of_birth dob birthdate birthday geburtsdatum gebdatum geburtstag",
    "age": "age patient_age age_years age_at_ecg alter patientenalter",
    "sex": "sex gender patient_sex geschlecht",
    "site": "site hospital clinic center centre institution location klinik standort",
    "device": "device device_model cart machine manufacturer model geraet",
    "sampling_rate": "sampling_rate sample_rate sampling_frequency fs hz abtastrate",
    "units": "units unit amplitude_unit einheit",
    "leads": "leads lead_names lead_order channels ableitungen",
}
"""Common English and German names of each standard column, the most common first."""
OURS = tuple(_SYNONYMS)
"""Standard column names, which are the valid keys of ``sets.NAME.columns``."""
_NEAR = 0.85
_MISSPELT = 0.75


def rename_columns(cells: pd.DataFrame, columns: Mapping[str, str]) -> tuple[pd.DataFrame, list[Issue], list[str]]:
    """Rename the columns of a table to the standard column names.

    Args:
        cells: table with the column names of the file.
        columns: maps each standard name, or the name of a target, to a column of the file. Two standard names may use the
            same column. A value that is no column of the file but another key of ``columns`` refers to the column of that
            key. A name that resembles a standard name is an error, because it is probably misspelt.

    Returns:
        The table, the errors found, and notes on unused columns. A column of the file is unused if it has a standard
        name to which another column is mapped.
    """
    issues, notes = [], []
    chosen: dict[str, str] = {}
    for ours, theirs in columns.items():
        if ours not in OURS and (meant := _meant(ours)):
            issues.append(Issue(f"sets.NAME.columns.{ours}", "is not a known column", f"Did you mean {meant!r}?"))
            continue
        source = theirs if theirs in cells or theirs == ours else columns.get(theirs, theirs)
        if source not in cells:
            # messages may show column names, because they contain no personal data
            close = difflib.get_close_matches(theirs, [str(c) for c in cells.columns], n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"Columns found: {column_names(cells.columns)}"
            issues.append(Issue(ours, f"the file has no column {theirs!r}", hint))
            continue
        chosen[ours] = source
    mapped = {name: cells[source] for name, source in chosen.items()}
    spent = set(chosen.values())
    replaced = [name for name in cells.columns if name in mapped and chosen[name] != name and name not in spent]
    notes += [f"the column {n!r} of the file is not used: {n} is read from {chosen[n]!r}" for n in replaced]
    rest = {name: cells[name] for name in cells.columns if name not in mapped and name not in spent}
    return pd.DataFrame(mapped | rest, dtype=object), issues, notes


def _meant(name: str) -> str | None:
    """Return the standard column name that a name resembles or translates, or ``None`` if it can name a target."""
    for ours in OURS:
        if likely_columns(ours, [name]):
            return ours
    close = difflib.get_close_matches(name, OURS, n=1, cutoff=_MISSPELT)
    return close[0] if close else None


def likely_columns(ours: str, columns: Iterable[str]) -> list[str]:
    """Return the columns of a file that may correspond to a standard column, the most likely first.

    The result is only suggested in messages and is never applied automatically.
    """
    known = [_plain(synonym) for synonym in _SYNONYMS[ours].split()]
    scores: dict[str, float] = {}
    for column in columns:
        name = _plain(column)
        if name in known:
            scores[column] = 2.0 - known.index(name) / 100
        elif len(name) > 3 and (close := difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)):
            scores[column] = difflib.SequenceMatcher(None, name, close[0]).ratio()
    return sorted(scores, key=lambda column: -scores[column])


def column_option(ours: str, theirs: str) -> str:
    """Return the command line option that maps the standard name ``ours`` to the file column ``theirs``."""
    return f"--column {ours}={theirs}" if re.fullmatch(r"[\w.-]+", theirs) else f'--column {ours}="{theirs}"'


def value_option(column: str, cell: str, meaning: str) -> str:
    """Return the command line option that states the meaning of the cells with the text ``cell`` in a column."""
    text = f"{column}:{cell}={meaning}"
    return f"--value {text}" if re.fullmatch(r"[\w.:=-]+", text) else f'--value "{text}"'


def column_names(columns: Sequence[str] | pd.Index) -> str:
    """Join column names for a message; at most twelve are listed."""
    names = [str(name) for name in columns]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"


def _plain(name: str) -> str:
    german = name.casefold().translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"})
    ascii_only = unicodedata.normalize("NFKD", german).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_only)

"""A hospital's own recordings: a CSV manifest that names each file, its patient and what is known of it."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.datasets.cohort import DESCRIPTIVE, SPLITS, Cohort, rows_text
from ecgssl.datasets.splits import FOLDS, grouped_split
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb_reader import header_path

_CELLS = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0, "": math.nan}
_UNCERTAIN = {"u", "-1", "-1.0"}
_SEX = {"": "", "m": "male", "male": "male", "f": "female", "female": "female", "other": "other", "unknown": ""}
_OLDEST = 90.0


def load_manifest(
    path: Path | str, root: Path | str | None = None, *, name: str | None = None, licence: str = "", seed: int = 0
) -> Cohort:
    """Read and check a manifest; nothing is changed on disk.

    Args:
        path: CSV in UTF-8, separated by comma, semicolon or tab. ``record_id`` and ``path`` are required;
            ``patient_id``, ``split`` (train, val, test or nothing), ``fold``, ``age`` (years), ``sex`` (male, female,
            other), ``site``, ``device`` are optional. Every other column is a possible target: 1, 0, nothing = unknown,
            U or -1 = uncertain, which counts as unknown. Columns that hold anything else are kept out
            (``require_targets`` says why).
        root: folder that the paths are relative to; by default the manifest's own.
        name, licence: of the cohort; by default the manifest's name, and none.
        seed: of the split that is made where the manifest states none: 70/10/20 by patient.

    Returns:
        The cohort; its ``notes`` tell of assumptions made (no patient ids, split made here, uncertain cells).

    Raises:
        InputError: with everything that is wrong, by row number as a spreadsheet shows it (the header is row 1).
    """
    path = Path(path)
    base = path.parent if root is None else Path(root)
    table, rows = _cells(path)
    problems = _identity(path, table, rows) + _files(path, base, table, rows)
    notes: list[str] = []
    if "patient_id" not in table:
        table["patient_id"] = table["record_id"]
        notes.append("no patient_id: every recording counts as a patient of its own, so splits may share patients")
    elif (table["patient_id"] == "").any():
        without = table["patient_id"] == ""
        # a prefix no reader can confuse with a patient's own number
        table.loc[without, "patient_id"] = "record:" + table.loc[without, "record_id"]
        notes.append(f"{int(without.sum())} recordings without patient_id count as patients of their own")
    table["split"] = table["split"].str.lower() if "split" in table else ""
    problems += _splits(path, table, rows)
    problems += _describe(path, table, rows, notes)
    targets, not_binary = _targets(table, rows, notes)
    if problems:
        raise InputError(problems)
    if not (table["split"] != "").any():
        try:
            table["split"] = grouped_split(table, targets, seed)
        except ValueError:
            raise InputError(
                Problem(
                    str(path),
                    "split",
                    f"is not given, and {table['patient_id'].nunique()} patients are too few to make one",
                    f"Fill the column split, or add recordings (at least {FOLDS} patients)",
                )
            ) from None
        notes.append(f"no split given: made 70/10/20 by patient, stratified by target, seed {seed}")
    elif (table["split"] == "").any():
        notes.append(f"{int((table['split'] == '').sum())} recordings are in no split")
    described = [column for column in DESCRIPTIVE if column in table]
    return Cohort(
        name=name or path.stem,
        root=base,
        table=table[[*described, *targets]].reset_index(drop=True),
        targets=targets,
        licence=licence,
        notes=tuple(notes),
        not_binary=not_binary,
        source=str(path),
    )


def listed_recordings(path: Path | str, root: Path | str | None = None) -> list[tuple[str, Path]]:
    """Names and files of a manifest's recordings, in its order; that a file is there is not asked.

    Args:
        path, root: as for ``load_manifest``; columns other than ``record_id`` and ``path`` are ignored.

    Raises:
        InputError: as ``load_manifest`` where it is no CSV with these columns, or names are empty or not unique.
    """
    path = Path(path)
    base = path.parent if root is None else Path(root)
    table, rows = _cells(path)
    problems = _identity(path, table, rows)
    if problems:
        raise InputError(problems)
    return [(name, base / file) for name, file in zip(table["record_id"], table["path"], strict=True)]


def _cells(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """The file's cells as stripped text, and the row number of each."""
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(Problem(where, "file", "does not exist", "Name a CSV with record_id and path")) from None
    except UnicodeDecodeError as error:
        raise InputError(Problem(where, "encoding", f"is not UTF-8 (byte {error.start})", "Save it as UTF-8")) from None
    except OSError as error:
        raise InputError(Problem(where, "file", f"cannot be read ({error.strerror})", "Name a readable CSV")) from None
    lines = text.splitlines(keepends=True)
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        records = [(n, [c.strip() for c in r]) for n, r in enumerate(csv.reader(lines, delimiter=delimiter), 1)]
    except csv.Error as error:
        raise InputError(Problem(where, "content", f"is no CSV ({error})", "Save it as CSV")) from None
    header = records[0][1] if records else []
    body = [(n, r) for n, r in records[1:] if any(r)]
    problems = [
        Problem(where, column, "the column is absent", f"Add it; columns found: {', '.join(header[:12]) or 'none'}")
        for column in ("record_id", "path")
        if column not in header
    ]
    twice = sorted({column for column in header if header.count(column) > 1})
    problems += [Problem(where, c or "(no name)", "the column occurs twice", "Keep one of them") for c in twice]
    if header and not body:
        problems.append(Problem(where, "rows", "there are none", "Add a row per recording"))
    ragged = [n for n, r in body if len(r) != len(header)]
    if ragged:
        what = f"{rows_text(ragged)}: not {len(header)} cells like the header"
        problems.append(Problem(where, "row length", what, "Quote cells that hold the separator"))
    if problems:
        raise InputError(problems)
    return pd.DataFrame([r for _, r in body], columns=header, dtype=object), [n for n, _ in body]


def _where(rows: list[int], wrong: pd.Series) -> str:
    return rows_text([row for row, bad in zip(rows, wrong, strict=True) if bad])


def _identity(path: Path, table: pd.DataFrame, rows: list[int]) -> list[Problem]:
    problems = []
    empty = table["record_id"] == ""
    if empty.any():
        problems.append(Problem(str(path), "record_id", f"{_where(rows, empty)}: empty", "Give every recording a name"))
    double = table["record_id"].duplicated(keep=False) & ~empty
    if double.any():
        problems.append(
            Problem(str(path), "record_id", f"{_where(rows, double)}: not unique", "Give every recording its own name")
        )
    return problems


def _files(path: Path, root: Path, table: pd.DataFrame, rows: list[int]) -> list[Problem]:
    cells = table["path"]
    empty = cells == ""
    outside = cells.map(lambda cell: not Path(cell).is_absolute() and Path(os.path.normpath(cell)).parts[:1] == ("..",))
    absent = ~empty & ~outside & ~cells.map(lambda cell: cell != "" and header_path(root / cell).is_file())
    found = (
        (empty, "empty", "Name the record's file"),
        (outside, "leaves the root folder", "Put the recordings under the root, or write an absolute path"),
        (absent, f"no WFDB header (.hea) under {root}", "Correct the path, or name the folder with root"),
    )
    return [Problem(str(path), "path", f"{_where(rows, w)}: {what}", remedy) for w, what, remedy in found if w.any()]


def _splits(path: Path, table: pd.DataFrame, rows: list[int]) -> list[Problem]:
    problems = []
    unknown = ~table["split"].isin([*SPLITS, ""])
    if unknown.any():
        words = ", ".join(sorted({repr(w[:20]) for w in table.loc[unknown, "split"]})[:5])
        what = f"{_where(rows, unknown)}: {words} is no split"
        problems.append(Problem(str(path), "split", what, "Write train, val, test or nothing"))
    stated = table[(table["split"] != "") & ~unknown]
    in_splits = stated.groupby("patient_id")["split"].nunique()
    shared = in_splits.index[in_splits > 1]
    if len(shared):
        wrong = table["patient_id"].isin(shared) & table["split"].isin(SPLITS)
        what = f"{len(shared)} patients have recordings in more than one split ({_where(rows, wrong)})"
        problems.append(Problem(str(path), "split", what, "Keep each patient in one split"))
    return problems


def _describe(path: Path, table: pd.DataFrame, rows: list[int], notes: list[str]) -> list[Problem]:
    """Check and convert the descriptive columns in place."""
    checks: tuple[tuple[str, Callable[[str], object], str], ...] = (
        ("fold", _fold, "Write whole numbers or nothing"),
        ("age", _age, "Write years between 0 and 130, or nothing"),
        ("sex", lambda cell: _SEX[cell.lower()], "Write male, female, other or nothing"),
    )
    problems = []
    for column, convert, remedy in checks:
        if column not in table:
            continue
        values: list[Any] = []
        bad: list[int] = []
        for row, cell in zip(rows, table[column], strict=True):
            try:
                values.append(convert(cell))
            except (ValueError, KeyError):
                bad.append(row)
        if bad:
            problems.append(Problem(str(path), column, f"{rows_text(bad)}: not understood", remedy))
        else:
            table[column] = values
    if "age" in table and not problems:
        table["age"] = table["age"].astype(float)
        old = int((table["age"] > _OLDEST).sum())
        if old:
            table["age"] = table["age"].clip(upper=_OLDEST)
            notes.append(f"{old} ages above {_OLDEST:g} are given as {_OLDEST:g}, because they identify")
    return problems


def _fold(cell: str) -> float:
    value = float(cell or "nan")
    if math.isinf(value) or (not math.isnan(value) and value != int(value)):
        raise ValueError(cell)
    return value


def _age(cell: str) -> float:
    value = float(cell or "nan")
    if not (math.isnan(value) or 0 <= value <= 130):
        raise ValueError(cell)
    return value


def _targets(table: pd.DataFrame, rows: list[int], notes: list[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Convert the columns that can be targets in place; say of the others what stands in the way."""
    targets, not_binary = [], {}
    for column in [c for c in table.columns if c and c not in DESCRIPTIVE]:
        cells = table[column].str.lower()
        uncertain = cells.isin(_UNCERTAIN)
        wrong = ~cells.isin(_CELLS) & ~uncertain
        if wrong.any():
            found = ", ".join(sorted({repr(cell[:20]) for cell in table.loc[wrong, column]})[:3])
            not_binary[column] = f"{_where(rows, wrong)}: {found} and the like are not binary"
            continue
        if uncertain.any():
            notes.append(f"target {column}: {int(uncertain.sum())} uncertain cells count as unknown")
        table[column] = cells.map(_CELLS).astype(float)
        targets.append(column)
    return tuple(targets), not_binary

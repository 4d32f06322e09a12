"""Manifest of a local cohort: a table that lists the file, the patient and the targets of each recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import ManifestParams, Target
from ecgssl.config.manifest import targets_file_of
from ecgssl.config.split import SplitParams
from ecgssl.config.targets_file import examine_targets_file
from ecgssl.datasets.cohort import DESCRIPTIVE, NO_PATIENT, Cohort, rows_text
from ecgssl.datasets.splits import KEEPS_SPLIT, CannotSplit, make_split
from ecgssl.datasets.table import parse_cells as parse
from ecgssl.datasets.table.ages import BIRTH_DATE, add_ages
from ecgssl.datasets.table.check_columns import check_ids, check_splits, convert_columns
from ecgssl.datasets.table.check_paths import check_paths, none_exists, read_paths
from ecgssl.datasets.table.parse_targets import read_target
from ecgssl.datasets.table.read_table import (
    OURS,
    Issue,
    Table,
    column_names,
    column_option,
    likely_columns,
    read_table,
    rename_columns,
    rows_where,
)
from ecgssl.datasets.table.two_words import target_options
from ecgssl.errors import InputError, Problem
from ecgssl.io.file_names import as_on_disk

_REQUIRED = ("record_id", "path")
_SIGNAL = (*_REQUIRED, "sampling_rate", "units", "leads")
_BINARY = Target()


@dataclass(frozen=True)
class Examined:
    """Result of checking a manifest: the cohort and all errors.

    Args:
        cohort: cohort made from the valid cells. It is complete only if ``issues`` is empty.
        issues: errors found in the manifest.
        there: (rows,) for each row, whether the path is valid and the file exists.
        unused: columns that are not used, because they have no declaration and contain cells that are not binary.
    """

    cohort: Cohort
    issues: tuple[Issue, ...]
    there: NDArray[np.bool_]
    unused: tuple[str, ...]


def load_manifest(path: Path | str, root: Path | str | None = None, **options: Any) -> Cohort:
    """Load the cohort that a manifest describes. No recording is opened.

    Args:
        path: CSV or Parquet file. ``record_id`` and ``path`` are required. Optional columns are ``patient_id``,
            ``split`` (train, val, test, external or empty), ``fold``, ``acq_time``, ``age`` (years), ``birth_date`` (gives
            missing ages, and is not kept), ``sex`` (male, female, other), ``site`` and ``device``. The optional columns
            ``sampling_rate`` (Hz), ``units`` and ``leads`` override the values in the recordings. Every other column is a
            possible target. Without a declaration, a target is binary: 1 or true, 0 or false, empty (unknown), or U or -1
            (uncertain, read as unknown). Undeclared columns with other cells are not used.
        root: folder that relative paths start from; by default the folder of the manifest.
        options: keyword arguments of ``examine_manifest``.

    Returns:
        The cohort. Its ``notes`` list assumptions, for example about missing patient ids or uncertain cells.

    Raises:
        InputError: the manifest has errors. The message lists all of them with row numbers (the header is row 1).
    """
    found = examine_manifest(path, root, **options)
    if found.issues:
        raise InputError(issue.problem(str(path)) for issue in found.issues)
    return found.cohort


def examine_manifest(
    path: Path | str,
    root: Path | str | None = None,
    *,
    reading: ManifestParams | None = None,
    targets_file: Path | str | None = None,
    name: str | None = None,
    licence: str = "",
    seed: int = 0,
    split: SplitParams | None = None,
    may_cross: bool = False,
) -> Examined:
    """Check a manifest, and return its cohort together with all errors.

    Args:
        path, root: see ``load_manifest``.
        reading: settings for reading columns and cells, for example column names and targets.
        targets_file: YAML file with more settings; by default ``NAME.targets.yaml`` next to the manifest, if it exists.
        name: name of the cohort; by default the file name of the manifest without suffix.
        licence: licence of the cohort; empty by default.
        seed: seed of a random split.
        split: how to split the recordings. By default, the split in the manifest is used; if there is none, patients
            are split randomly (70/10/20).
        may_cross: accept patients in more than one split (``sets.NAME.overlap`` is not ``error``). They are also accepted
            if ``split`` replaces the split in the manifest, as ``ecgssl evaluate`` does.

    Raises:
        InputError: the manifest is not a table, or the targets file is invalid. In the second case, the message also lists
            the errors of the manifest, except those of invalid targets.
    """
    path = as_on_disk(Path(path))
    base = path.parent if root is None else Path(root)
    split = split or SplitParams()
    reading, notes, faults = _add_targets_file(path, reading or ManifestParams(), targets_file)
    file = read_table(path, reading.encoding)
    table, wrong, more = _named(file, reading)
    table, rows, repeated = _drop_repeated(table, file.rows)
    issues = [*file.issues, *wrong, *repeated, *check_ids(table, rows)]
    notes += [*file.notes, *more]
    if "path" in table:
        paths = check_paths(table["path"], rows, base, reading.path_prefix)
        there = paths.there.to_numpy(dtype=bool)
        issues += paths.issues
        notes += paths.notes
        _set_paths(table, paths.cells, reading)
    else:
        there, table["path"] = np.zeros(len(table), dtype=bool), ""
    if "record_id" not in table:
        table["record_id"] = [f"row {row}" for row in rows]
    raw = table.copy()
    notes += _fill_patients(table, _suggestion("patient_id", file, reading))
    notes += _suggestions(file, reading, table)
    table["split"] = table["split"].str.lower() if "split" in table else ""
    issues += check_splits(table, rows, may_cross or split.kind not in KEEPS_SPLIT)
    wrong, more = convert_columns(table, rows, reading.dates)
    issues += wrong
    notes += more
    wrong, more = add_ages(table, rows, reading.dates)
    issues += wrong
    notes += more
    read = _targets(raw, rows, reading)
    issues += read.issues
    if faults:
        raise InputError([*faults, *(issue.problem(str(path)) for issue in issues)])
    random_splits = False
    notes += read.notes
    described = [column for column in DESCRIPTIVE if column in table]
    table = pd.concat([table[described], pd.DataFrame(read.values, index=table.index, dtype=float)], axis=1)
    if issues:
        if not (table["split"] != "").any():
            notes.append("no split given: the split is made after all errors in the table are fixed")
    else:
        wrong, random_splits = _split(table, tuple(read.values), read.kinds, split, seed, notes)
        issues += wrong
    if (table["split"] != "").any() and (table["split"] == "").any():
        notes.append(f"{int((table['split'] == '').sum())} recordings are in no split")
    cohort = Cohort(
        name=name or path.stem,
        root=base,
        table=table.reset_index(drop=True),
        targets=tuple(read.values),
        licence=licence,
        notes=tuple(notes),
        not_binary=read.not_binary,
        source=str(path),
        kinds=read.kinds,
        rows=tuple(rows),
        random_splits=random_splits,
    )
    return Examined(cohort, tuple(issues), there, tuple(read.not_binary))


def listed_recordings(
    path: Path | str, root: Path | str | None = None, reading: ManifestParams | None = None
) -> Cohort:
    """Return the recordings of a manifest in file order, with only the columns needed to read the signals.

    Args:
        path, root: see ``load_manifest``. A targets file next to the manifest is also read. One of the recordings must
            exist.
        reading: settings for reading columns and cells. Entries for other columns, such as targets, are ignored.

    Returns:
        A cohort without patients, splits and targets. Its columns are ``record_id``, ``path`` and, if present in the
        manifest, ``sampling_rate``, ``units`` and ``leads``.

    Raises:
        InputError: the file is not a table with ``record_id`` and ``path``, record ids are empty or not unique, another
            of these columns contains an invalid cell, or none of the files exists. The message lists all errors.
    """
    path = as_on_disk(Path(path))
    base = path.parent if root is None else Path(root)
    reading, _, faults = _add_targets_file(path, reading or ManifestParams(), None)
    kept = {name: {k: v for k, v in getattr(reading, name).items() if k in _SIGNAL} for name in ("columns", "values")}
    reading = reading.model_copy(update=kept)
    file = read_table(path, reading.encoding)
    table, issues, _ = _named(file, reading)
    table, rows, repeated = _drop_repeated(table, file.rows)
    if "path" in table:
        paths, _, wrong = read_paths(table["path"], base, reading.path_prefix)
        absent = none_exists(paths.tolist(), base)
        issues += [*wrong, *([absent] if absent else [])]
        _set_paths(table, paths, reading)
    table = table[[name for name in _SIGNAL if name in table]].copy()
    issues = [*file.issues, *issues, *repeated, *check_ids(table, rows), *convert_columns(table, rows, None)[0]]
    if faults or issues:
        raise InputError([*faults, *(issue.problem(str(path)) for issue in issues)])
    return Cohort(path.stem, base, table, (), "", source=str(path), rows=tuple(rows))


def _add_targets_file(
    path: Path, reading: ManifestParams, targets_file: Path | str | None
) -> tuple[ManifestParams, list[str], list[Problem]]:
    """Return settings with those of the targets file added, notes, and the errors of its targets."""
    file = targets_file_of(path, None if targets_file is None else Path(targets_file))
    if file is None:
        return reading, [], []
    declared, problems = examine_targets_file(file)
    return reading.over(declared), ["columns are read as declared in the targets file"], problems


def _named(file: Table, reading: ManifestParams) -> tuple[pd.DataFrame, list[Issue], list[str]]:
    """Rename the columns of a table to the standard names, and replace cells as set in ``reading.values``.

    Returns:
        The table, the errors found, and notes on assumptions.
    """
    table, issues, notes = rename_columns(file.cells, reading.columns)
    found = column_names(file.cells.columns)
    for column in _REQUIRED:
        if column not in table and column not in reading.columns:
            close = likely_columns(column, file.cells.columns)
            example = f", for example {column_option(column, close[0])}" if close else ""
            issues.append(
                Issue(column, "the column is absent", f"Add it, or map a column{example}; columns found: {found}")
            )
    for column in ("record_id", "path", "patient_id"):
        blank = file.blanks.get(reading.columns.get(column, column), [])
        if column in table and blank:
            notes.append(f"{column}: leading and trailing blanks are removed ({rows_text(blank)})")
        if column in table:
            table[column] = table[column].where(~table[column].map(parse.is_empty), "")
    for column in {*map(str, table)} - {"record_id", "path"}:
        # a patient can have two spellings in Unicode (NFC, NFD); those of paths are compared with the disk
        if not all(map(str.isascii, table[column])):
            table[column] = [normalize("NFC", cell) for cell in table[column]]
    for column, words in reading.values.items():
        if column not in table:
            hint = f"Columns: {column_names(table.columns)}"
            issues.append(Issue(f"sets.NAME.values.{column}", "there is no such column", hint))
            continue
        meaning = {cell.casefold(): word for cell, word in words.items()}
        table[column] = [meaning.get(cell.casefold(), cell) for cell in table[column]]
    return table, issues, notes


def _suggestion(ours: str, file: Table, reading: ManifestParams) -> str:
    spent = set(reading.columns.values())
    close = [column for column in likely_columns(ours, file.cells.columns) if column not in spent]
    return f"; perhaps {column_option(ours, close[0])}" if close else ""


def _suggestions(file: Table, reading: ManifestParams, table: pd.DataFrame) -> list[str]:
    absent = [column for column in OURS if column not in table and column not in (*_REQUIRED, "patient_id")]
    absent = [column for column in absent if column != BIRTH_DATE or "age" not in table]
    hints = [(column, _suggestion(column, file, reading)) for column in absent]
    return [f"no {column}{hint}" for column, hint in hints if hint]


def _set_paths(table: pd.DataFrame, paths: pd.Series, reading: ManifestParams) -> None:
    """Replace the column ``path`` in place, and ``record_id`` too if it is read from the same column."""
    if "record_id" in reading.columns and "record_id" in table and table["record_id"].equals(table["path"]):
        table["record_id"] = paths
    table["path"] = paths


def _drop_repeated(table: pd.DataFrame, rows: Sequence[int]) -> tuple[pd.DataFrame, list[int], list[Issue]]:
    """Keep the first of identical rows, and return the table, its row numbers, and an error if rows were removed."""
    if not table.duplicated().any():
        return table, list(rows), []
    same = rows_where(rows, table.duplicated(keep=False))
    first = ~table.duplicated()
    issue = Issue("rows", "the same row occurs more than once", "Keep one of them", same)
    return table[first].reset_index(drop=True), list(rows_where(rows, first)), [issue]


def _fill_patients(table: pd.DataFrame, suggestion: str) -> list[str]:
    """Assign a unique patient id to every recording without one, in place, and return notes for the user."""
    if "patient_id" not in table:
        table["patient_id"] = NO_PATIENT + table["record_id"].astype(str)
        return [
            f"no patient_id: every recording counts as a different patient, so splits may share patients{suggestion}"
        ]
    without = table["patient_id"] == ""
    if not without.any():
        return []
    table.loc[without, "patient_id"] = NO_PATIENT + table.loc[without, "record_id"]
    return [f"{int(without.sum())} recordings without patient_id count as one patient each"]


def _split(
    table: pd.DataFrame,
    targets: tuple[str, ...],
    kinds: Mapping[str, Target],
    params: SplitParams,
    seed: int,
    notes: list[str],
) -> tuple[list[Issue], bool]:
    """Fill the column ``split`` in place, append to ``notes``, and return the errors and whether the split is random."""
    given = bool((table["split"] != "").any())
    try:
        made = make_split(table, targets, params, seed, kinds)
    except CannotSplit as error:
        what = error.what if given or params.kind != "auto" else f"is not given, and {error.what}"
        return [Issue("split", what, error.remedy)], False
    if made is not None:
        table["split"] = made.names
        notes.append(made.note if given else f"no split given: {made.note}")
    return [], made is not None and made.random


@dataclass(frozen=True)
class _Targets:
    values: dict[str, NDArray[np.float64]]
    kinds: dict[str, Target]
    issues: list[Issue]
    notes: list[str]
    not_binary: dict[str, str]


def _targets(raw: pd.DataFrame, rows: list[int], reading: ManifestParams) -> _Targets:
    """Read the declared targets, and after them all other columns that contain only binary cells."""
    out = _Targets({}, {}, [], [], {})
    ours = {theirs: name for name, theirs in reading.columns.items()}
    used = set()
    for name, target in reading.targets.items():
        column = target.column or name
        column = column if column in raw else ours.get(column, column)
        if column not in raw:
            remedy = f"Correct the declaration; columns: {column_names(raw.columns)}"
            out.issues.append(Issue(f"sets.NAME.targets.{name}", "its column is absent", remedy))
            continue
        used.add(column)
        made = read_target(name, target, raw[column], rows)
        out.issues.extend(made.issues)
        out.notes.extend(made.notes)
        for given in made.values:
            if given in out.values or given in DESCRIPTIVE:
                what = f"would have the name {given!r} of another column"
                out.issues.append(Issue(f"sets.NAME.targets.{name}", what, "Use another name, and set its column"))
            else:
                out.values[given] = made.values[given]
                out.kinds[given] = made.kinds[given]
    for column in map(str, raw.columns):
        if column in DESCRIPTIVE or column == BIRTH_DATE or column in used:
            continue
        if column in out.values:
            out.notes.append(f"column {column} of the file is not used: a declared target has its name")
            continue
        made = read_target(column, _BINARY, raw[column], rows)
        if made.issues:
            shown = ", ".join(repr(cell[:20]) for cell in made.issues[0].cells)
            out.not_binary[column] = f"{rows_text(made.issues[0].rows)}: cells such as {shown} are not binary"
            if options := target_options(column, raw[column]):
                out.notes.append(f"column {column} is not used. To use it as a target, add: {options}")
                out.not_binary[column] += f"; to use it as a target, add: {options}"
        else:
            out.notes.extend(made.notes)
            out.values[column] = made.values[column]
    return out

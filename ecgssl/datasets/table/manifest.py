"""A hospital's own recordings: a table that names each file, its patient and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import ManifestParams, Target, load_targets_file
from ecgssl.config.manifest import targets_file_of
from ecgssl.config.split import SplitParams
from ecgssl.datasets.cohort import DESCRIPTIVE, Cohort, rows_text
from ecgssl.datasets.splits import CannotSplit, make_split
from ecgssl.datasets.table.cells import is_empty
from ecgssl.datasets.table.columns import OURS, likely, named, option, rename
from ecgssl.datasets.table.issues import Issue
from ecgssl.datasets.table.manifest_columns import (
    check_ids,
    check_splits,
    describe_recordings,
    drop_repeated,
    fill_patients,
)
from ecgssl.datasets.table.manifest_paths import check_paths, read_paths
from ecgssl.datasets.table.sheet import Sheet, read_sheet
from ecgssl.datasets.table.targets import read_target
from ecgssl.errors import InputError

_REQUIRED = ("record_id", "path")
_PLAIN = Target()


@dataclass(frozen=True)
class Examined:
    """A manifest with everything that is wrong with it.

    Args:
        cohort: rows as far as they could be understood; sound where ``issues`` is empty.
        issues: what is wrong.
        there: (rows,) whether the recording's file is there to be read.
        unused: columns of the file that are no targets and that nothing else is made of.
    """

    cohort: Cohort
    issues: tuple[Issue, ...]
    there: NDArray[np.bool_]
    unused: tuple[str, ...]


def load_manifest(
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
) -> Cohort:
    """Read and check a manifest; nothing is changed on disk, and no recording is opened.

    Args:
        path: CSV (``ecgssl.datasets.table.sheet``) or Parquet. ``record_id`` and ``path`` are required; ``patient_id``,
            ``split`` (train, val, test, external or nothing), ``fold``, ``acq_time``, ``age`` (years), ``sex`` (male,
            female, other), ``site``, ``device``, and ``sampling_rate`` (Hz), ``units`` and ``leads``, which win over what
            the file says, are optional. Every other column is a possible target: as declared, otherwise 1, 0, nothing =
            unknown, U or -1 = uncertain, which counts as unknown. Undeclared columns that hold anything else are kept out
            (``require_targets`` says why).
        root: folder that the paths are relative to; by default the manifest's own.
        reading: how the table is to be read.
        targets_file: YAML with more of it; by default ``NAME.targets.yaml`` beside the manifest, where there is one.
        name, licence: of the cohort; by default the manifest's name, and none.
        seed: of a split that is made here.
        split: how to split; by default as the manifest states, otherwise 70/10/20 by patient.
        may_cross: do not refuse patients in more than one split (``data.overlap`` other than ``error``).

    Returns:
        The cohort; its ``notes`` tell of assumptions made (no patient ids, split made here, uncertain cells).

    Raises:
        InputError: with everything that is wrong, by row number as a spreadsheet shows it (the header is row 1).
    """
    found = examine_manifest(
        path,
        root,
        reading=reading,
        targets_file=targets_file,
        name=name,
        licence=licence,
        seed=seed,
        split=split,
        may_cross=may_cross,
    )
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
    """As ``load_manifest``, but what is wrong is returned beside what could be understood.

    Raises:
        InputError: only where there is no table at all, or the YAML beside it is wrong.
    """
    path = Path(path)
    base = path.parent if root is None else Path(root)
    reading, notes = _complete(path, reading or ManifestParams(), targets_file)
    sheet = read_sheet(path, reading.encoding)
    table, wrong, more = _named(sheet, reading)
    table, rows, repeated = drop_repeated(table, sheet.rows)
    issues = [*sheet.issues, *wrong, *repeated, *check_ids(table, rows)]
    notes += [*sheet.notes, *more]
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
    notes += fill_patients(table, _suggestion("patient_id", sheet, reading))
    notes += _suggestions(sheet, reading, table)
    table["split"] = table["split"].str.lower() if "split" in table else ""
    issues += check_splits(table, rows, may_cross)
    wrong, more = describe_recordings(table, rows, reading.dates)
    issues += wrong
    notes += more
    read = _targets(raw, rows, reading)
    issues += read.issues
    notes += read.notes
    described = [column for column in DESCRIPTIVE if column in table]
    table = pd.concat([table[described], pd.DataFrame(read.values, index=table.index, dtype=float)], axis=1)
    split = split or SplitParams()
    if issues:
        if not (table["split"] != "").any():
            notes.append("no split given: one is made when the table is in order")
    else:
        issues += _split(table, tuple(read.values), read.kinds, split, seed, notes)
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
    )
    return Examined(cohort, tuple(issues), there, tuple(read.not_binary))


def _set_paths(table: pd.DataFrame, paths: pd.Series, reading: ManifestParams) -> None:
    """Put in the paths as they are to be read; names of recordings that the user made of paths follow them."""
    if "record_id" in reading.columns and "record_id" in table and table["record_id"].equals(table["path"]):
        table["record_id"] = paths
    table["path"] = paths


def _split(
    table: pd.DataFrame,
    targets: tuple[str, ...],
    kinds: Mapping[str, Target],
    params: SplitParams,
    seed: int,
    notes: list[str],
) -> list[Issue]:
    given = bool((table["split"] != "").any())
    try:
        made = make_split(table, targets, params, seed, kinds)
    except CannotSplit as error:
        what = error.what if given or params.kind != "auto" else f"is not given, and {error.what}"
        return [Issue("split", what, error.remedy)]
    if made is not None:
        table["split"] = made.names
        notes.append(made.note if given else f"no split given: {made.note}")
    return []


def listed_recordings(path: Path | str, root: Path | str | None = None) -> Cohort:
    """The recordings of a manifest, in its order, with nothing but what their signal follows from; that a file is there
    is not asked.

    Args:
        path, root: as for ``load_manifest``; the YAML beside the manifest is read, too.

    Returns:
        A cohort without patients, splits and targets: ``record_id``, ``path``, and where the manifest has them
        ``sampling_rate``, ``units`` and ``leads``.

    Raises:
        InputError: as ``load_manifest`` where it is no table with these columns, names are empty or not unique, or a cell
            is not understood.
    """
    path = Path(path)
    base = path.parent if root is None else Path(root)
    reading, _ = _complete(path, ManifestParams(), None)
    sheet = read_sheet(path, reading.encoding)
    table, issues, _ = _named(sheet, reading)
    table, rows, repeated = drop_repeated(table, sheet.rows)
    if "path" in table:
        paths, _, wrong = read_paths(table["path"], base, reading.path_prefix)
        issues += wrong
        _set_paths(table, paths, reading)
    table = table[[name for name in ("record_id", "path", "sampling_rate", "units", "leads") if name in table]].copy()
    issues = [*sheet.issues, *issues, *repeated, *check_ids(table, rows), *describe_recordings(table, rows, None)[0]]
    if issues:
        raise InputError(issue.problem(str(path)) for issue in issues)
    return Cohort(path.stem, base, table, (), "", source=str(path), rows=tuple(rows))


def _complete(path: Path, reading: ManifestParams, targets_file: Path | str | None) -> tuple[ManifestParams, list[str]]:
    file = targets_file_of(path, None if targets_file is None else Path(targets_file))
    if file is None:
        return reading, []
    return reading.over(load_targets_file(file)), ["the table is read as its targets file says"]


def _named(sheet: Sheet, reading: ManifestParams) -> tuple[pd.DataFrame, list[Issue], list[str]]:
    """The table under our names, with cells in our words."""
    table, issues, notes = rename(sheet.table, reading.columns)
    for column in _REQUIRED:
        if column not in table and column not in reading.columns:
            close = likely(column, sheet.table.columns)
            hint = (
                f"Add it, or name yours, perhaps {option(column, close[0])}; " if close else "Add it, or name yours; "
            )
            issues.append(Issue(column, "the column is absent", f"{hint}columns found: {named(sheet.table.columns)}"))
    for column in ("record_id", "path", "patient_id"):
        blank = sheet.blanks.get(reading.columns.get(column, column), [])
        if column in table and blank:
            notes.append(f"{column}: blanks at the ends are removed ({rows_text(blank)})")
        if column in table:
            table[column] = table[column].where(~table[column].map(is_empty), "")
    for column, words in reading.values.items():
        if column not in table:
            hint = f"Columns: {named(table.columns)}"
            issues.append(Issue(f"data.values.{column}", "there is no such column", hint))
            continue
        meaning = {cell.casefold(): word for cell, word in words.items()}
        table[column] = [meaning.get(cell.casefold(), cell) for cell in table[column]]
    return table, issues, notes


def _suggestion(ours: str, sheet: Sheet, reading: ManifestParams) -> str:
    spent = set(reading.columns.values())
    close = [column for column in likely(ours, sheet.table.columns) if column not in spent]
    return f"; perhaps {option(ours, close[0])}" if close else ""


def _suggestions(sheet: Sheet, reading: ManifestParams, table: pd.DataFrame) -> list[str]:
    absent = [column for column in OURS if column not in table and column not in ("record_id", "path", "patient_id")]
    hints = [(column, _suggestion(column, sheet, reading)) for column in absent]
    return [f"no {column}{hint}" for column, hint in hints if hint]


@dataclass(frozen=True)
class _Read:
    values: dict[str, NDArray[np.float64]]
    kinds: dict[str, Target]
    issues: list[Issue]
    notes: list[str]
    not_binary: dict[str, str]


def _targets(raw: pd.DataFrame, rows: list[int], reading: ManifestParams) -> _Read:
    """Declared targets first, in the order of their declaration; then the columns that can be targets as they are."""
    out = _Read({}, {}, [], [], {})
    ours = {theirs: name for name, theirs in reading.columns.items()}
    used = set()
    for name, target in reading.targets.items():
        column = target.column or name
        column = column if column in raw else ours.get(column, column)
        if column not in raw:
            remedy = f"Correct the declaration; columns: {named(raw.columns)}"
            out.issues.append(Issue(f"data.targets.{name}", "its column is absent", remedy))
            continue
        used.add(column)
        made = read_target(name, target, raw[column], rows)
        out.issues.extend(made.issues)
        out.notes.extend(made.notes)
        for given in made.values:
            if given in out.values or given in DESCRIPTIVE:
                what = f"would be called {given!r} like another column"
                out.issues.append(Issue(f"data.targets.{name}", what, "Give it another name, and say its column"))
            else:
                out.values[given] = made.values[given]
                out.kinds[given] = made.kinds[given]
    for column in map(str, raw.columns):
        if column in DESCRIPTIVE or column in used:
            continue
        if column in out.values:
            out.notes.append(f"the file's own column {column} is not used: a declared target has its name")
            continue
        made = read_target(column, _PLAIN, raw[column], rows)
        if made.issues:
            shown = ", ".join(repr(cell[:20]) for cell in made.issues[0].cells)
            out.not_binary[column] = f"{rows_text(made.issues[0].rows)}: {shown} and the like are not binary"
        else:
            out.notes.extend(made.notes)
            out.values[column] = made.values[column]
    return out

"""Checks of the file paths in a table: missing files, relative paths out of the root folder, duplicates, Windows paths.

This module uses strings instead of ``pathlib`` paths for speed, because a table may contain a million paths.
"""

# ruff: noqa: PTH112, PTH113, PTH117, PTH118 (see above)

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecgssl.datasets.table.read_table import Issue, rows_where
from ecgssl.io import MEMBER, locate
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.wfdb.reader import SUFFIXES, header_path

_LOOKED_FOR = 20
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True)
class Paths:
    """Checked paths of a table.

    Args:
        cells: paths as returned by ``read_paths``.
        there: for each path, whether it is valid and its file exists.
        issues: errors found.
        notes: assumptions made when reading the paths.
    """

    cells: pd.Series
    there: pd.Series
    issues: list[Issue]
    notes: list[str]


def check_paths(cells: pd.Series, rows: Sequence[int], root: Path, prefix: str = "") -> Paths:
    """Check that the files in a table exist, and return their paths and all errors. No file is opened.

    Args:
        cells: paths relative to ``root``, or absolute paths. ``file#member`` selects one recording of a file that
            contains several.
        rows: row number of each path, for messages.
        root: folder that relative paths start from.
        prefix: text to remove from the start of each path, in upper or lower case.
    """
    cells, notes, issues = read_paths(cells, root, prefix)
    files = [_file(root, cell) for cell in cells]
    foreign = cells.map(_is_foreign)
    empty = cells == ""
    outside = cells.map(_leaves)
    named = ~empty & ~outside & ~foreign
    there = named & pd.Series([_there(file) for file, _ in files], dtype=bool, index=cells.index)
    folder = named & ~there & pd.Series([os.path.isdir(file) for file, _ in files], dtype=bool, index=cells.index)
    absent = named & ~there & ~folder
    twice = pd.Series([_key(*file) for file in files], dtype=object, index=cells.index).duplicated(keep=False) & there
    issues += [
        Issue("path", what, remedy, rows_where(rows, wrong))
        for wrong, what, remedy in (
            (empty, "is empty", "Add the file of the recording"),
            (foreign, "is a Windows path", "Set its folder with --root, and its drive with --path-prefix"),
            (outside, "is outside the root folder", "Move the recordings into the root, or write an absolute path"),
            (absent, "no such file", _remedy(root, cells[absent])),
            (folder, "is a folder, not a file", "Use the path of a file"),
            (twice, "another row lists the same file", "Keep one row for each recording, with all its values"),
        )
        if wrong.any()
    ]
    return Paths(cells, there, issues, notes)


def read_paths(cells: pd.Series, root: Path, prefix: str = "") -> tuple[pd.Series, list[str], list[Issue]]:
    """Remove the prefix from paths, and replace backslashes with slashes.

    Backslashes are kept in Windows paths with a drive, and if a file with backslashes in its name exists.

    Args:
        cells, root, prefix: see ``check_paths``.

    Returns:
        The paths, notes on assumptions, and the errors found.
    """
    cells, notes, issues = _without_prefix(cells, prefix)
    back = cells.map(lambda cell: "\\" in cell and not _is_foreign(cell) and not _there(_file(root, cell)[0]))
    if back.any():
        cells = cells.where(~back, cells.str.replace("\\", "/", regex=False))
        notes.append(f"backslashes of {int(back.sum())} paths are read as slashes")
    return cells, notes, issues


def none_exists(cells: Sequence[str], root: Path) -> Issue | None:
    """Return an issue if none of the files of a table exists; ``None`` if one exists or the table has no rows.

    Args:
        cells: paths as returned by ``read_paths``.
        root: folder that relative paths start from.
    """
    if not cells or any(_there(_file(root, cell)[0]) for cell in cells):
        return None
    what = f"none of the {len(cells)} files exists; relative paths start from the folder {root}"
    remedy = "Correct the paths, or set the folder of relative paths with --root"
    here = Path()
    if any(_there(_file(here, cell)[0]) for cell in cells[:_LOOKED_FOR] if not os.path.isabs(cell)):
        remedy = "The paths start from the current folder. Add --root ."
    return Issue("path", what, remedy)


def _is_foreign(cell: str) -> bool:
    return os.sep == "/" and _DRIVE.match(cell) is not None


def _without_prefix(cells: pd.Series, prefix: str) -> tuple[pd.Series, list[str], list[Issue]]:
    if not prefix:
        return cells, [], []
    begins = cells.str.casefold().str.startswith(prefix.casefold())
    if not begins.any():
        return (
            cells,
            [],
            [
                Issue(
                    "sets.NAME.path_prefix",
                    "no path begins with this prefix",
                    "Copy the prefix from a cell of the table",
                )
            ],
        )
    short = cells.str.slice(len(prefix)).str.lstrip("\\/")
    return cells.where(~begins, short), [f"the prefix is removed from {int(begins.sum())} paths"], []


def _leaves(cell: str) -> bool:
    if ".." not in cell or os.path.isabs(cell):
        return False
    # check the path with and without a possible "#member" suffix
    return any(Path(os.path.normpath(file)).parts[:1] == ("..",) for file in (cell, cell.rpartition(MEMBER)[0]))


def _file(root: Path, cell: str) -> tuple[str, str]:
    """Return the file path and the member of a cell such as ``file#member``; the member is empty if none is given."""
    if MEMBER in cell:
        file, member = locate(root / cell)
        return str(file), member or ""
    joined = os.path.join(root, cell)
    return (joined if joined.isascii() else str(as_on_disk(Path(joined)))), ""


def _there(file: str) -> bool:
    # the path of a WFDB record may be written without a suffix or with the suffix of any of its files
    return os.path.isfile(file) or os.path.isfile(header_path(file))


def _key(file: str, member: str) -> str:
    if file.lower().endswith(SUFFIXES) and os.path.isfile(header_path(file)):
        file = file[:-4]
    return f"{os.path.normpath(file)}{MEMBER}{member}"


def _remedy(root: Path, cells: pd.Series) -> str:
    """Return the fix for missing files, with a hint if a file exists whose name differs only in upper and lower case.

    Only the first 20 missing files are compared with the names in their folders.
    """
    remedy = "Correct the path, or set the folder of relative paths with --root"
    for cell in cells.head(_LOOKED_FOR):
        file = Path(_file(root, cell)[0])
        try:
            names = {name.casefold() for name in os.listdir(file.parent)}  # noqa: PTH208 (names alone)
        except (OSError, ValueError):
            continue
        if {file.name.casefold(), header_path(file).name.casefold()} & names:
            return f"{remedy}; a file exists whose name differs in upper and lower case"
    return remedy

"""The files that a cohort's table names: found, or said to be absent, outside, doubled or written for another machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecgssl.datasets.issues import Issue, where_true
from ecgssl.io import locate
from ecgssl.io.wfdb_reader import SUFFIXES, header_path

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True)
class Paths:
    """Paths of a table.

    Args:
        cells: as they are to be read: with slashes, without the prefix.
        there: whether a file is there to be read.
        issues, notes: what is wrong, and what was assumed.
    """

    cells: pd.Series
    there: pd.Series
    issues: list[Issue]
    notes: list[str]


def check_paths(cells: pd.Series, rows: Sequence[int], root: Path, prefix: str = "") -> Paths:
    """Look for the files; none is opened.

    Args:
        cells: as the table has them; relative to ``root`` or absolute, ``file#member`` for one of a file's recordings.
        rows: of the table, for what is said of them.
        root: folder of relative paths.
        prefix: removed from the start of paths.
    """
    cells, notes, issues = read_paths(cells, root, prefix)
    foreign = cells.map(_is_foreign)
    empty = cells == ""
    outside = cells.map(_leaves)
    named = ~empty & ~outside & ~foreign
    there = named & cells.map(lambda cell: cell != "" and _there(root, cell))
    folder = named & ~there & cells.map(lambda cell: _is(Path.is_dir, root / cell))
    absent = named & ~there & ~folder
    twice = cells.map(lambda cell: _key(root, cell)).duplicated(keep=False) & there
    issues += [
        Issue("path", what, remedy, where_true(rows, wrong))
        for wrong, what, remedy in (
            (empty, "empty", "Name the recording's file"),
            (foreign, "a path of a Windows machine", "Name its folder with --root, and its drive with --path-prefix"),
            (outside, "leaves the root folder", "Put the recordings under the root, or write an absolute path"),
            (absent, "no such file", _remedy(root, cells[absent])),
            (folder, "a folder, not a file", "Name the file in it"),
            (
                twice,
                "a file that another row names, too",
                "Keep one row for each recording, with all that is known of it",
            ),
        )
        if wrong.any()
    ]
    return Paths(cells, there, issues, notes)


def read_paths(cells: pd.Series, root: Path, prefix: str = "") -> tuple[pd.Series, list[str], list[Issue]]:
    """Paths as this machine spells them: without the prefix, and with slashes where no file has a backslash in its name.

    Args:
        cells, root, prefix: as for ``check_paths``.

    Returns:
        The paths; what was assumed; what is wrong.
    """
    cells, notes, issues = _without_prefix(cells, prefix)
    back = cells.str.contains("\\", regex=False) & ~cells.map(_is_foreign) & ~cells.map(lambda cell: _there(root, cell))
    if back.any():
        cells = cells.where(~back, cells.str.replace("\\", "/", regex=False))
        notes.append(f"backslashes of {int(back.sum())} paths are read as slashes")
    return cells, notes, issues


def _is_foreign(cell: str) -> bool:
    return os.sep == "/" and _DRIVE.match(cell) is not None


def _without_prefix(cells: pd.Series, prefix: str) -> tuple[pd.Series, list[str], list[Issue]]:
    if not prefix:
        return cells, [], []
    begins = cells.str.casefold().str.startswith(prefix.casefold())
    if not begins.any():
        return cells, [], [Issue("data.path_prefix", "no path begins with it", "Copy it from a cell of the table")]
    short = cells.str.slice(len(prefix)).str.lstrip("\\/")
    return cells.where(~begins, short), [f"the prefix is removed from {int(begins.sum())} paths"], []


def _leaves(cell: str) -> bool:
    file = locate(cell)[0]
    return not file.is_absolute() and Path(os.path.normpath(file)).parts[:1] == ("..",)


def _there(root: Path, cell: str) -> bool:
    file = locate(root / cell)[0]
    # a WFDB record may be named without suffix, or by one of the files of its kind
    return _is(Path.is_file, file) or _is(Path.is_file, header_path(file))


def _is(ask: Callable[[Path], bool], path: Path) -> bool:
    try:
        return ask(path)
    except (OSError, ValueError):
        # a name too long for the file system, or with a zero byte
        return False


def _key(root: Path, cell: str) -> str:
    file, member = locate(root / cell)
    if file.suffix.lower() in SUFFIXES and _is(Path.is_file, header_path(file)):
        file = file.with_suffix("")
    return f"{os.path.normpath(file)}#{member or ''}"


def _remedy(root: Path, cells: pd.Series) -> str:
    """What may be the matter, found out for the first few."""
    remedy = "Correct the path, or name the folder that paths are relative to with --root"
    for cell in cells.head(20):
        file = locate(root / cell)[0]
        try:
            names = {name.casefold() for name in os.listdir(file.parent)}  # noqa: PTH208 (names alone)
        except (OSError, ValueError):
            continue
        if {file.name.casefold(), header_path(file).name.casefold()} & names:
            return f"{remedy}; a file is there whose name differs in upper and lower case"
    return remedy

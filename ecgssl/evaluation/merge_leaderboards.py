"""Merging of leaderboards of several runs, such as one for each pretraining objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.leaderboard import Entry
from ecgssl.evaluation.leaderboard_file import Leaderboard, LeaderboardFile
from ecgssl.evaluation.method_table import Column, MethodTable, Result, first_methods, method_table

TOLERANCE = 5e-4
"""Largest difference of two values of one result: half of the last digit that tables show."""

_SAME_RUNS = "Merge only runs that have the same test sets and settings"
_NAMED = "Remove one of the files, or set --name once for each file to name the pretraining of each"


def merge_leaderboards(files: Sequence[LeaderboardFile], names: Sequence[str] = ()) -> Leaderboard:
    """Merge the leaderboards of several runs into one.

    Columns of several files must have the same test recordings, targets, metric, share of the labels and leads. A method that
    occurs in several files must have the same values (up to ``TOLERANCE``) in each. Published results occur once.

    Args:
        files: leaderboards, at least one.
        names: name of the pretraining of each file, shown instead of its objective; empty for the objectives.

    Raises:
        InputError: a column or a method differs between files, or the number of names differs from that of files. The error
            lists all problems.
    """
    if names and len(names) != len(files):
        what = f"{len(names)} names for {len(files)} files"
        raise InputError(Problem("leaderboard", "--name", what, "Set --name once for each file"))
    given = [[_named(e, names[number]) if names else e for e in file.entries] for number, file in enumerate(files)]
    tables = [method_table(entries) for entries in given]
    problems: list[Problem] = []
    columns = _columns(tables, files, problems)
    rows: dict[str, dict[str, Result]] = {name: {} for name in first_methods([e for entries in given for e in entries])}
    origin: dict[tuple[str, str], Path] = {}
    quoted = [file.quoted for file in files]
    # own results of all files come first, then the published ones
    for number, part in [*enumerate([table.rows for table in tables]), *enumerate(quoted)]:
        for method, results in part.items():
            for title, result in results.items():
                first = rows.setdefault(method, {}).setdefault(title, result)
                source = origin.setdefault((method, title), files[number].path)
                if not _same(first, result):
                    what = f"is {_text(result)}, but {_text(first)} in {source}"
                    problems.append(Problem(str(files[number].path), f"{method}, {title}", what, _NAMED))
    entries = _entries(given, files, columns, problems)
    if problems:
        raise InputError(problems)
    return Leaderboard(MethodTable(tuple(columns.values()), {m: r for m, r in rows.items() if r}), entries)


def _columns(
    tables: Sequence[MethodTable], files: Sequence[LeaderboardFile], problems: list[Problem]
) -> dict[str, Column]:
    """Return the columns of all tables by title. Add a problem for each field that differs between two of the same title."""
    columns: dict[str, Column] = {}
    origin: dict[str, Path] = {}
    for table, file in zip(tables, files, strict=True):
        for column in table.columns:
            first = columns.setdefault(column.title, column)
            source = origin.setdefault(column.title, file.path)
            for field in (f.name for f in fields(Column) if getattr(first, f.name) != getattr(column, f.name)):
                what = f"is {getattr(column, field)!r}, but {getattr(first, field)!r} in {source}"
                if field == "test_digest":
                    what += ", so the test recordings or their targets differ"
                problems.append(Problem(str(file.path), f"{column.title}: {field}", what, _SAME_RUNS))
    return columns


def _entries(
    given: Sequence[Sequence[Entry]],
    files: Sequence[LeaderboardFile],
    columns: dict[str, Column],
    problems: list[Problem],
) -> list[Entry]:
    """Return each setting once. Add a problem for each setting outside of the table of methods with two values."""
    merged: dict[tuple[object, ...], tuple[Entry, Path]] = {}
    in_table = {(c.set, c.task, c.share, c.leads, c.leads) for c in columns.values()}
    for entries, file in zip(given, files, strict=True):
        for e in entries:
            objective = "" if e.mode == "scratch" else e.objective
            place = (e.tested_set, e.task, e.share, e.trained_on, e.tested_on)
            first, source = merged.setdefault((*place, e.set, e.mode, objective), (e, file.path))
            if place not in in_table and not (
                _close(first.value, e.value) and first.metric == e.metric and first.test_digest == e.test_digest
            ):
                where = f"{e.task}, {e.mode}, share {e.share:g}, {e.trained_on}, tested on {e.tested_set} {e.tested_on}"
                what = f"is {_shown(e)}, but {_shown(first)} in {source}"
                problems.append(Problem(str(file.path), where, what, _NAMED))
    return [e for e, _ in merged.values()]


def _shown(e: Entry) -> str:
    return f"{e.metric} {_text(Result(e.value))} of {e.records} recordings ({e.test_digest})"


def _named(e: Entry, name: str) -> Entry:
    return e if e.mode == "scratch" else replace(e, objective=name)


def _same(one: Result, other: Result) -> bool:
    return one.quoted == other.quoted and _close(one.value, other.value)


def _close(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= TOLERANCE


def _text(result: Result) -> str:
    value = "undefined" if result.value is None else f"{result.value:.6g}"
    return f"{value} (quoted: {result.quoted})" if result.quoted else value

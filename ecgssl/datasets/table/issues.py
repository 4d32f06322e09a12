"""What is wrong with a cohort's table, by column and row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecgssl.datasets.cohort import rows_text
from ecgssl.errors import Problem

_SHOWN = 3
_LONGEST = 20


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong with a table.

    Args:
        column: our name of the column, or what of the file is concerned.
        what: what is wrong, in words that hold no cell, path or name of the table.
        remedy: what the user can do about it, likewise.
        rows: concerned, as a spreadsheet counts them (the header is row 1); empty for the whole table.
        cells: some of those concerned. For messages to the user who named the table; they may hold anything, so they
            go on no page and into no file.
    """

    column: str
    what: str
    remedy: str
    rows: tuple[int, ...] = ()
    cells: tuple[str, ...] = ()

    def problem(self, where: str) -> Problem:
        """For an error message, with rows and cells."""
        parts = [rows_text(self.rows)] if self.rows else []
        if self.cells:
            parts.append(", ".join(repr(cell[:_LONGEST]) for cell in self.cells))
        return Problem(where, self.column, ": ".join([*parts, self.what]), self.remedy)


def some(cells: Iterable[str]) -> tuple[str, ...]:
    """A few distinct cells, to be shown."""
    return tuple(sorted(set(cells))[:_SHOWN])


def where_true(rows: Sequence[int], wrong: Iterable[bool]) -> tuple[int, ...]:
    """The rows for which something is true."""
    return tuple(row for row, bad in zip(rows, wrong, strict=True) if bad)

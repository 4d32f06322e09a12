"""Leaderboard of a run as files: JSON, which can be read again, and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ecgssl.checked_json import read_object, validated
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.leaderboard import Entry, leaderboard, leaderboard_rows
from ecgssl.evaluation.method_table import MethodTable, Result

_REMEDY = "Write it again with 'dvc repro evaluate' or 'ecgssl leaderboard'"


@dataclass(frozen=True)
class Leaderboard:
    """Table of methods with all settings that it was made of.

    Args:
        table: methods by task and test set.
        entries: all settings.
    """

    table: MethodTable
    entries: Sequence[Entry]

    def as_json(self) -> dict[str, Any]:
        """Return the leaderboard as a JSON-compatible dictionary."""
        return {"methods": self.table.as_json(), "settings": leaderboard_rows(self.entries)}

    def as_markdown(self) -> str:
        """Return the leaderboard as Markdown."""
        return f"## Methods\n\n{self.table.as_markdown()}\n## All settings\n\n{leaderboard(self.entries)}"


@dataclass(frozen=True)
class LeaderboardFile:
    """Content of a JSON file of a leaderboard.

    Args:
        path: file.
        entries: all settings.
        quoted: published results by method, and by title of the column.
    """

    path: Path
    entries: Sequence[Entry]
    quoted: Mapping[str, Mapping[str, Result]]


def read_leaderboard(path: Path) -> LeaderboardFile:
    """Read a JSON file of a leaderboard.

    Raises:
        InputError: the file is missing, not JSON or not a leaderboard, has no settings, or was written by an earlier
            release, which does not record the test recordings.
    """
    found = validated(_File, read_object(path, _REMEDY), str(path), _REMEDY)
    if not found.settings:
        raise InputError(Problem(str(path), "settings", "is empty", _REMEDY))
    if old := sum(not e.test_digest for e in found.settings):
        what = f"{old} of {len(found.settings)} settings do not record their test recordings (test_digest)"
        raise InputError(Problem(str(path), "settings", what, _REMEDY))
    quoted = {
        row.method: published
        for row in found.methods.rows
        if (published := {title: result for title, result in row.results.items() if result.quoted})
    }
    return LeaderboardFile(path, found.settings, quoted)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    method: str
    results: dict[str, Result]


class _Methods(BaseModel):
    model_config = ConfigDict(extra="forbid")
    columns: list[dict[str, Any]]
    rows: list[_Row]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    methods: _Methods
    settings: list[Entry]

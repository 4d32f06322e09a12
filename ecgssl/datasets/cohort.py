"""The one form in which every set of recordings reaches the pipeline: a table of recordings with splits and targets."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.errors import InputError, Problem

SPLITS = ("train", "val", "test")

DESCRIPTIVE = (
    *("record_id", "path", "patient_id", "split", "fold", "acq_time", "age", "sex", "site", "device"),
    *("sampling_rate", "units", "leads", "defect", "defect_action"),
)
"""Columns that are never targets."""


@dataclass(frozen=True)
class Cohort:
    """Recordings of a set, with what is known of each.

    Args:
        name: of the set.
        root: folder that ``path`` is relative to.
        table: one row per recording: ``record_id``, ``path``, ``patient_id`` (str), ``split`` (train, val, test or
            empty: in none); optionally ``fold``, ``acq_time`` (ISO 8601), ``age`` (years), ``sex``, ``site``,
            ``device``; ``sampling_rate`` (Hz), ``units`` and ``leads`` (";"-joined), which state what a file does not
            say or says wrongly, NaN or empty where it is to be believed (``ecgssl.io.Stated``); ``defect`` and
            ``defect_action`` (``ecgssl.datasets.known_defects``); then one float column per target: 1, 0 or NaN for
            unknown. ``path`` may be ``file#member`` for a file that holds many recordings.
        targets: names of the target columns.
        licence: under which the recordings may be used.
        notes: what a reader of results should know about how the table came about.
        not_binary: columns of the file that cannot be targets, with the rows and cells that stand in the way.
        source: the file behind the table, for messages.
    """

    name: str
    root: Path
    table: pd.DataFrame
    targets: tuple[str, ...]
    licence: str
    notes: tuple[str, ...] = ()
    not_binary: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def __len__(self) -> int:
        return len(self.table)


def require_targets(cohort: Cohort, targets: Sequence[str], splits: Sequence[str] = SPLITS) -> None:
    """Make sure that a task's targets exist, are binary, and have both classes in every split.

    Args:
        cohort: the set.
        targets: columns that the task predicts.
        splits: in which both classes are needed.

    Raises:
        InputError: with every missing column, every column with other cells than 1, 0, U or none, and every split in
            which a target has one class.
    """
    where = cohort.source or cohort.name
    problems = []
    for target in targets:
        if target in cohort.not_binary:
            problems.append(
                Problem(
                    where, target, cohort.not_binary[target], "Targets hold 1, 0, U (uncertain) or nothing (unknown)"
                )
            )
        elif target not in cohort.targets:
            known = [*cohort.targets, *cohort.not_binary]
            close = difflib.get_close_matches(target, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Targets here: {', '.join(cohort.targets) or 'none'}"
            problems.append(Problem(where, target, "there is no such column", hint))
        else:
            problems += _one_class(cohort.table, target, splits, where)
    if problems:
        raise InputError(problems)


def _one_class(table: pd.DataFrame, target: str, splits: Sequence[str], where: str) -> list[Problem]:
    problems = []
    for split in splits:
        cells = table.loc[table["split"] == split, target]
        ones, zeros = int((cells == 1).sum()), int((cells == 0).sum())
        if not (ones and zeros):
            problems.append(
                Problem(
                    where,
                    target,
                    f"has {ones} ones and {zeros} zeros in split {split!r}, both classes are needed",
                    "Take it out of the task, add recordings, or split anew",
                )
            )
    return problems


def describe(cohort: Cohort) -> dict[str, Any]:
    """What a cohort holds: recordings and patients by split, and positives among known cells by target and split."""
    table = cohort.table
    out: dict[str, Any] = {"set": cohort.name, "recordings": len(table), "patients": int(table["patient_id"].nunique())}
    splits = {split: table[table["split"] == split] for split in SPLITS}
    out["splits"] = {s: {"recordings": len(t), "patients": int(t["patient_id"].nunique())} for s, t in splits.items()}
    out["targets"] = {
        target: {
            s: {"known": int(t[target].notna().sum()), "positive": int((t[target] == 1).sum())}
            for s, t in splits.items()
        }
        for target in cohort.targets
    }
    return out


def rows_text(rows: Sequence[int], most: int = 8) -> str:
    """Row numbers for a message: ``row 3`` or ``rows 3, 8, 12 and 40 more``."""
    shown = ", ".join(str(row) for row in rows[:most])
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"

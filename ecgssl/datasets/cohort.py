"""The one form in which every set of recordings reaches the pipeline: a table of recordings with splits and targets."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import Target
from ecgssl.datasets.enough_data import FIT, SCORE, shortages
from ecgssl.errors import InputError, Problem

SPLITS = ("train", "val", "test")
AGE = "age"
"""A descriptive column that is also a target, a number in years, where no target has this name."""
EXTERNAL = "external"
"""Recordings of another place, held for a last test: no patient of theirs may be in another split."""
NO_PATIENT = "record:"
"""Begins the patient id of a recording whose patient is not known, and that stands for one by itself."""

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
        table: one row per recording: ``record_id``, ``path``, ``patient_id`` (str), ``split`` (train, val, test,
            external or empty: in none); optionally ``fold``, ``acq_time`` (ISO 8601), ``age`` (years), ``sex``, ``site``,
            ``device``; ``sampling_rate`` (Hz), ``units`` and ``leads`` (";"-joined), which state what a file does not
            say or says wrongly, NaN or empty where it is to be believed (``ecgssl.io.MetadataOverrides``); ``defect`` and
            ``defect_action`` (``ecgssl.datasets.public.known_defects``); then one float column per target: 1 or 0, the code of
            a class, or a number, by its kind; NaN for unknown. ``path`` may be ``file#member`` for a file that holds many
            recordings.
        targets: names of the target columns.
        licence: under which the recordings may be used.
        notes: what a reader of results should know about how the table came about.
        not_binary: columns of the file that cannot be targets, with the rows and cells that stand in the way.
        source: the file behind the table, for messages.
        kinds: what the numbers of a target mean; targets that are not named here are binary.
        rows: row of each recording in ``source``, as a spreadsheet counts them; empty where there is no such file.
    """

    name: str
    root: Path
    table: pd.DataFrame
    targets: tuple[str, ...]
    licence: str
    notes: tuple[str, ...] = ()
    not_binary: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    kinds: Mapping[str, Target] = field(default_factory=dict)
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def kind(self, target: str) -> Target:
        """What the numbers of a target mean."""
        return self.kinds.get(target, Target())


def require_targets(cohort: Cohort, targets: Sequence[str], splits: Sequence[str] = SPLITS) -> None:
    """Make sure that targets exist and can be learned and scored.

    A binary target needs both classes in every split, a multiclass one every class in train and two in the others, a
    number two different values in each.

    Args:
        cohort: the set.
        targets: columns to predict, or ``age``.
        splits: that are needed.

    Raises:
        InputError: with every missing column, every column that is no target, and every split in which a target has too
            little.
    """
    where = cohort.source or cohort.name
    problems = []
    for target in targets:
        if target in cohort.not_binary:
            remedy = "Targets hold 1, 0, U (uncertain) or nothing (unknown); for other cells declare it in data.targets"
            problems.append(Problem(where, target, cohort.not_binary[target], remedy))
        elif target == AGE and AGE not in cohort.targets and AGE in cohort.table:
            problems += _too_little(cohort.table, AGE, Target(kind="regression"), splits, where)
        elif target not in cohort.targets:
            problems.append(_absent(cohort, target, where))
        else:
            problems += _too_little(cohort.table, target, cohort.kind(target), splits, where)
    if problems:
        raise InputError(problems)


def _absent(cohort: Cohort, target: str, where: str) -> Problem:
    labels = [name for name in cohort.targets if name.startswith(f"{target}:")]
    if labels:
        return Problem(where, target, "lists several labels, each a target of its own", f"Name {', '.join(labels)}")
    close = difflib.get_close_matches(target, [*cohort.targets, *cohort.not_binary], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Targets here: {', '.join(cohort.targets) or 'none'}"
    return Problem(where, target, "there is no such column", hint)


def require_one_kind(cohort: Cohort, tasks: Mapping[str, Sequence[str]]) -> None:
    """Make sure that one model can learn each task: binary targets together, numbers together, or one multiclass target.

    Args:
        cohort: the set.
        tasks: targets by name of the task; those that the cohort lacks are left to ``require_targets``.

    Raises:
        InputError: with every task of several kinds or of several multiclass targets.
    """
    problems = []
    for name, targets in tasks.items():
        kinds = {t: cohort.kind(t).kind if t in cohort.targets else "regression" for t in targets
                 if t in cohort.targets or t == AGE}  # fmt: skip
        named = ", ".join(f"{target} ({kind})" for target, kind in kinds.items())
        remedy = "Make a task of each kind, and of each multiclass target"
        if len(set(kinds.values())) > 1 or list(kinds.values()).count("multiclass") > 1:
            problems.append(Problem("tasks", name, f"cannot be learned by one model: {named}", remedy))
    if problems:
        raise InputError(problems)


def _too_little(table: pd.DataFrame, target: str, kind: Target, splits: Sequence[str], where: str) -> list[Problem]:
    problems = []
    for split in splits:
        cells = table.loc[table["split"] == split, target].to_numpy(dtype=np.float64)
        names, values = (target,), cells[:, None]
        if kind.kind == "multiclass":
            names = tuple(f"{target}:{name}" for name in kind.classes or {})
            values = np.where(np.isnan(values), np.nan, values == np.arange(len(names)))
        output = "multilabel" if kind.kind == "binary" else kind.kind
        found = shortages(output, names, values, np.arange(len(cells)), FIT if split == "train" else SCORE)
        remedy = "Remove it from the task, add recordings, or use another split"
        problems += [Problem(where, name, f"{what} in split {split!r}", remedy) for name, what in found]
    return problems


def describe(cohort: Cohort) -> dict[str, Any]:
    """What a cohort holds: recordings and patients by split, and by target and split how many cells are known and how
    many of these are positive, or of each class."""
    table = cohort.table
    out: dict[str, Any] = {"set": cohort.name, "recordings": len(table), "patients": int(table["patient_id"].nunique())}
    named = (*SPLITS, EXTERNAL) if (table["split"] == EXTERNAL).any() else SPLITS
    splits = {split: table[table["split"] == split] for split in named}
    out["splits"] = {s: {"recordings": len(t), "patients": int(t["patient_id"].nunique())} for s, t in splits.items()}
    out["targets"] = {
        target: {s: _counts(t[target], cohort.kind(target)) for s, t in splits.items()} for target in cohort.targets
    }
    return out


def _counts(cells: pd.Series, target: Target) -> dict[str, Any]:
    known = {"known": int(cells.notna().sum())}
    if target.kind == "binary":
        return known | {"positive": int((cells == 1).sum())}
    return known | {name: int((cells == code).sum()) for code, name in enumerate(target.classes or {})}


def rows_text(rows: Sequence[int], most: int = 8) -> str:
    """Row numbers for a message: ``row 3`` or ``rows 3, 8, 12 and 40 more``."""
    shown = ", ".join(str(row) for row in rows[:most])
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"

"""The ``Cohort`` class: recordings of a dataset with metadata, splits and targets."""

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
"""Column with the age in years. It can be predicted like a target, unless a declared target has the same name."""
EXTERNAL = "external"
"""Name of the split for external validation. Its patients must not be in another split."""
NO_PATIENT = "record:"
"""Prefix of generated patient ids. A recording with unknown patient counts as a separate patient."""

DESCRIPTIVE = (
    *("record_id", "path", "patient_id", "split", "fold", "acq_time", "age", "sex", "site", "device"),
    *("sampling_rate", "units", "leads", "defect", "defect_action"),
)
"""Columns of a cohort table that describe recordings and are not targets."""


@dataclass(frozen=True)
class Cohort:
    """Recordings of a dataset with metadata, splits and targets.

    Args:
        name: name of the dataset.
        root: folder that ``path`` is relative to.
        table: one row per recording. Required columns are ``record_id``, ``path`` (``file#member`` for a file with
            several recordings), ``patient_id`` (str) and ``split`` (train, val, test, external, or empty for none).
            Optional columns are ``fold``, ``acq_time`` (ISO 8601), ``age`` (years), ``sex``, ``site``, ``device``,
            ``defect`` and ``defect_action`` (see ``ecgssl.datasets.public.known_defects``). The optional columns
            ``sampling_rate`` (Hz), ``units`` and ``leads`` (";"-joined) override the metadata of the file, unless NaN or
            empty. Each target has one float column with 1 or 0, a class code or a number; NaN means unknown.
        targets: names of the target columns.
        licence: licence of the recordings.
        notes: assumptions and limitations that affect the interpretation of results.
        not_binary: columns of the file that cannot be used as targets, each with the rows and examples of its invalid
            cells.
        source: file that the table was read from, for messages.
        kinds: declaration of each target that is not binary.
        rows: row number of each recording in ``source`` (the header is row 1); empty if unknown.
        random_splits: whether ecgssl made the splits by random or stratified assignment. A recording may then be moved to
            the split that contains a copy of it. False for splits that are published, given by the user, or made by time,
            site or a hash of the patient id.
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
    random_splits: bool = False

    def __len__(self) -> int:
        return len(self.table)

    def kind(self, target: str) -> Target:
        """Return the declaration of a target; binary by default."""
        return self.kinds.get(target, Target())


def require_targets(cohort: Cohort, targets: Sequence[str], splits: Sequence[str] = SPLITS) -> None:
    """Check that targets exist and have enough known values for training and evaluation.

    A binary target needs both classes in every split. A multiclass target needs every class in train and two classes in the
    other splits. A regression target needs two different values in every split.

    Args:
        cohort: cohort with the targets.
        targets: names of target columns, or ``age``.
        splits: splits to check.

    Raises:
        InputError: a column is missing or is not a target, or a split has too few values. The message lists all errors.
    """
    where = cohort.source or cohort.name
    problems = []
    for target in targets:
        if target in cohort.not_binary:
            remedy = "Use 1, 0, U (uncertain) or nothing (unknown), or declare the column in sets.NAME.targets"
            problems.append(Problem(where, target, cohort.not_binary[target], remedy))
        elif target == AGE and AGE not in cohort.targets and AGE in cohort.table:
            problems += _too_few(cohort.table, AGE, Target(kind="regression"), splits, where)
        elif target not in cohort.targets:
            problems.append(_absent(cohort, target, where))
        else:
            problems += _too_few(cohort.table, target, cohort.kind(target), splits, where)
    if problems:
        raise InputError(problems)


def _absent(cohort: Cohort, target: str, where: str) -> Problem:
    labels = [name for name in cohort.targets if name.startswith(f"{target}:")]
    if labels:
        return Problem(where, target, "has several labels, and each label is a target", f"Use {', '.join(labels)}")
    close = difflib.get_close_matches(target, [*cohort.targets, *cohort.not_binary], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known targets: {', '.join(cohort.targets) or 'none'}"
    return Problem(where, target, "there is no such column", hint)


def require_one_kind(cohort: Cohort, tasks: Mapping[str, Sequence[str]]) -> None:
    """Check that one model can predict all targets of a task.

    A task can have several binary targets, several regression targets, or one multiclass target.

    Args:
        cohort: cohort with the targets.
        tasks: dict from task name to targets. Missing targets are ignored; ``require_targets`` reports them.

    Raises:
        InputError: a task has targets of different kinds or several multiclass targets. The message lists all such
            tasks.
    """
    problems = []
    for name, targets in tasks.items():
        kinds = {t: cohort.kind(t).kind if t in cohort.targets else "regression" for t in targets
                 if t in cohort.targets or t == AGE}  # fmt: skip
        named = ", ".join(f"{target} ({kind})" for target, kind in kinds.items())
        remedy = "Define one task per kind, and one per multiclass target"
        if len(set(kinds.values())) > 1 or list(kinds.values()).count("multiclass") > 1:
            problems.append(Problem("tasks", name, f"cannot be learned by one model: {named}", remedy))
    if problems:
        raise InputError(problems)


def require_tasks(cohort: Cohort, tasks: Mapping[str, Sequence[str]], name: str) -> None:
    """Check that all tasks on a set can be learned: the set has their targets, with enough known values.

    Args:
        cohort: recordings of the set.
        tasks: dict from task name to targets.
        name: name of the set in the parameters, for the messages.

    Raises:
        InputError: see ``require_targets`` and ``require_one_kind``. The message lists the problems of all tasks.
    """
    known = {*cohort.targets, *cohort.not_binary, *({AGE} & set(cohort.table))}
    problems = [
        Problem(
            "params.yaml",
            f"tasks.{task}.targets",
            f"{target!r} is not a target of set {name!r} ({cohort.source or cohort.name})",
            _absent(cohort, target, "").remedy,
        )
        for task, targets in tasks.items()
        for target in dict.fromkeys(targets)
        if target not in known
    ]
    used = sorted(known & {target for targets in tasks.values() for target in targets})
    for check in (lambda: require_one_kind(cohort, tasks), lambda: require_targets(cohort, used)):
        try:
            check()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _too_few(table: pd.DataFrame, target: str, kind: Target, splits: Sequence[str], where: str) -> list[Problem]:
    problems = []
    for split in splits:
        cells = table.loc[table["split"] == split, target].to_numpy(dtype=np.float64)
        names: tuple[str, ...] = (target,)
        values = cells[:, None]
        if kind.kind == "multiclass":
            names = tuple(f"{target}:{name}" for name in kind.classes or {})
            values = np.where(np.isnan(values), np.nan, values == np.arange(len(names)))
        output = "multilabel" if kind.kind == "binary" else kind.kind
        found = shortages(output, names, values, np.arange(len(cells)), FIT if split == "train" else SCORE)
        remedy = "Remove it from the task, add recordings, or use another split"
        problems += [Problem(where, name, f"{what} in split {split!r}", remedy) for name, what in found]
    return problems


def describe(cohort: Cohort) -> dict[str, Any]:
    """Return the numbers of recordings and patients, in total and per split, and the counts of each target per split.

    The counts of a target are the known values and, for a binary target, the positive values, or, for a multiclass target,
    the recordings of each class.
    """
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


def counted(count: int, noun: str) -> str:
    """Return a number with a noun, in the singular or the regular plural, such as ``1 file`` or ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def rows_text(rows: Sequence[int], most: int = 8) -> str:
    """Format row numbers for a message, for example ``row 3`` or ``rows 3, 8, 12 and 40 more``."""
    shown = ", ".join(str(row) for row in rows[:most])
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"

"""What a model is to predict: targets of a store that are of one kind, and whether there is enough of them to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.config.manifest import OutputKind
from ecgssl.datasets.cohort import AGE
from ecgssl.errors import InputError, Problem
from ecgssl.store.store import Store

Array = NDArray[np.float64]

MIN_PATIENTS = 4
"""Patients of each class in train: with fewer, no two folds of a cross-validation can both train and test on two."""
MIN_NUMBERS = 8
"""Patients with a known number in train, for a regression."""


@dataclass(frozen=True)
class Task:
    """Targets that one model predicts.

    Args:
        name: for people.
        targets: columns of the store; one for ``multiclass``.
        kind: ``multilabel``, each target 1 or 0 by itself (also one binary target); ``multiclass``, one of ``classes``;
            ``regression``, numbers.
        classes: of ``multiclass``, in the order of their codes; otherwise empty.
        units: of ``regression``, one per target, empty where the set states none; otherwise empty.
    """

    name: str
    targets: tuple[str, ...]
    kind: OutputKind
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what a model of the task puts out: the targets, or ``target:class`` for every class."""
        return tuple(f"{self.targets[0]}:{c}" for c in self.classes) if self.kind == "multiclass" else self.targets


def resolve_task(store: Store, targets: Sequence[str], name: str = "") -> Task:
    """The task that named targets are, by the kinds that the store gives them.

    Args:
        store: recordings with the targets.
        targets: names of target columns, or ``age``.
        name: of the task; by default the targets.

    Raises:
        InputError: no target, one named twice, every one that the store lacks, kinds that do not go together, or more
            than one multiclass target.
    """
    where, known = str(store.path), f"Name each once, of: {', '.join(store.targets)}"
    twice = sorted({t for t in targets if list(targets).count(t) > 1})
    if twice or not targets:
        what = f"{', '.join(twice)} named more than once" if twice else "none is named"
        raise InputError(Problem("task", "targets", what, known))
    missing = [t for t in targets if t not in store.targets and not (t == AGE and AGE in store.index)]
    if missing:
        remedy = f"It has: {', '.join(store.targets)}"
        raise InputError(Problem(where, t, "is not a target of this store", remedy) for t in missing)
    years = Target(kind="regression", unit="years")
    kinds = {t: store.kinds.get(t, Target() if t in store.targets else years) for t in targets}
    if len({target.kind for target in kinds.values()}) > 1:
        remedy = "Make a task of each kind: binary targets together, numbers together, a multiclass target by itself"
        raise InputError(
            Problem(where, t, f"is {target.kind}, others of the task are not", remedy) for t, target in kinds.items()
        )
    title, kind = name or ", ".join(targets), next(iter(kinds.values())).kind
    if kind == "regression":
        return Task(title, tuple(targets), kind, units=tuple(target.unit or "" for target in kinds.values()))
    if kind == "binary":
        return Task(title, tuple(targets), "multilabel")
    if len(targets) > 1:
        raise InputError(
            Problem(where, t, "is one of several multiclass targets", "Make a task of each") for t in targets
        )
    return Task(title, tuple(targets), "multiclass", tuple(kinds[targets[0]].classes or ()))


def task_values(store: Store, task: Task) -> Array:
    """(len(store), outputs) what a model of the task is to put out: 1 or 0, or numbers; NaN where unknown.

    A class is 1 in its column and 0 in the others.
    """
    values = store.index[list(task.targets)].to_numpy(dtype=np.float64)
    if task.kind != "multiclass":
        return values
    codes = values[:, 0]
    return np.where(np.isnan(codes)[:, None], np.nan, codes[:, None] == np.arange(len(task.classes)))


def require_learnable(
    task: Task,
    values: Array,
    patients: NDArray[np.int64],
    rows: Mapping[str, NDArray[np.int64]],
    where: str,
    scored: Sequence[str] = ("val", "test"),
) -> None:
    """Refuse a task that there is too little of to learn it, or nothing to score it by.

    Train must hold ``MIN_PATIENTS`` patients of every class (of both, for a binary target), or numbers of ``MIN_NUMBERS``
    patients that are not all the same. Each split of ``scored`` must hold both classes of a binary target, two classes of
    a multiclass one, or two different numbers.

    Args:
        task: of the values.
        values: of ``task_values``.
        patients: (N,) codes.
        rows: rows of each split.
        where: for messages.
        scored: splits by which the task is scored.

    Raises:
        InputError: naming every target and split that falls short, with the counts.
    """
    problems = []
    for split in ("train", *scored):
        least = {"multilabel": MIN_PATIENTS, "multiclass": MIN_PATIENTS, "regression": MIN_NUMBERS}[task.kind]
        least = least if split == "train" else 1
        short = _SHORT[task.kind](task, values[rows[split]], patients[rows[split]], least, split == "train")
        remedy = "Take it out of the task, or add recordings"
        problems += [Problem(where, name, f"{what} in split {split!r}", remedy) for name, what in short]
    if problems:
        raise InputError(problems)


def _multilabel_short(
    task: Task, values: Array, patients: NDArray[np.int64], least: int, train: bool
) -> list[tuple[str, str]]:
    short = []
    for name, cells in zip(task.targets, values.T, strict=True):
        if np.isnan(cells).all():
            short.append((name, "has no known value"))
            continue
        ones, zeros = (cells == 1), (cells == 0)
        if min(len(np.unique(patients[ones])), len(np.unique(patients[zeros]))) < least:
            needed = f"both classes of at least {least} patients are needed" if least > 1 else "both are needed"
            short.append(
                (name, f"has {int(ones.sum())} positive and {int(zeros.sum())} negative recordings, {needed},")
            )
    return short


def _multiclass_short(
    task: Task, values: Array, patients: NDArray[np.int64], least: int, train: bool
) -> list[tuple[str, str]]:
    if np.isnan(values).all():
        return [(task.targets[0], "has no known value")]
    if not train:
        present = int((values == 1).any(axis=0).sum())
        return [] if present > 1 else [(task.targets[0], f"has {present} of its classes, two are needed,")]
    counts = {name: len(np.unique(patients[column == 1])) for name, column in zip(task.outputs, values.T, strict=True)}
    needed = f"at least {least} are needed"
    return [(name, f"has recordings of {n} patients, {needed},") for name, n in counts.items() if n < least]


def _regression_short(
    task: Task, values: Array, patients: NDArray[np.int64], least: int, train: bool
) -> list[tuple[str, str]]:
    short = []
    for name, cells in zip(task.targets, values.T, strict=True):
        known = ~np.isnan(cells)
        if not known.any():
            short.append((name, "has no known value"))
        elif len(np.unique(patients[known])) < least:
            short.append((name, f"is known of {len(np.unique(patients[known]))} patients, {least} are needed,"))
        elif len(np.unique(cells[known])) < 2:
            short.append((name, f"is {cells[known][0]:g} in all {int(known.sum())} recordings that state it"))
    return short


_SHORT = {"multilabel": _multilabel_short, "multiclass": _multiclass_short, "regression": _regression_short}

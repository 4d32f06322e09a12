"""Fine-tuning tasks: targets of a classifier, their values in a store, and a check for sufficient data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.config.manifest import OutputKind
from ecgssl.datasets.cohort import AGE
from ecgssl.datasets.enough_data import LEARN, SCORE, shortages
from ecgssl.errors import InputError, Problem
from ecgssl.store.store import Store

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Task of a classifier: one or more targets of the same kind.

    Args:
        name: name of the task in messages and results.
        targets: columns of the store; one for ``multiclass``.
        kind: ``multilabel`` (one or more independent binary targets), ``multiclass`` (one of ``classes``) or
            ``regression`` (numbers).
        classes: classes of a ``multiclass`` task, in the order of their codes; otherwise empty.
        units: unit of each target of a ``regression``, an empty string if unknown. Empty tuple for other kinds.
    """

    name: str
    targets: tuple[str, ...]
    kind: OutputKind
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the model outputs: the targets, or ``target:class`` for every class of a multiclass task."""
        return tuple(f"{self.targets[0]}:{c}" for c in self.classes) if self.kind == "multiclass" else self.targets


def has_target(store: Store, target: str) -> bool:
    """Return whether a store has a target. The age of the patients is a target if the store has it."""
    return target in store.targets or (target == AGE and AGE in store.columns)


def resolve_task(store: Store, targets: Sequence[str], name: str = "") -> Task:
    """Return the task for the given targets. Its kind is determined by the kind of the targets in the store.

    Args:
        store: store with the targets.
        targets: names of target columns, or ``age``.
        name: name of the task; by default the names of the targets.

    Raises:
        InputError: the list is empty, a target is listed twice or is missing from the store, the targets have different
            kinds, or there is more than one multiclass target.
    """
    where, known = str(store.path), f"List each target once; available targets: {', '.join(store.targets)}"
    twice = sorted({t for t in targets if list(targets).count(t) > 1})
    if twice or not targets:
        what = f"{', '.join(twice)} listed more than once" if twice else "the list is empty"
        raise InputError(Problem("task", "targets", what, known))
    missing = [t for t in targets if not has_target(store, t)]
    if missing:
        remedy = f"Available targets: {', '.join(store.targets)}"
        raise InputError(Problem(where, t, "is not a target of this store", remedy) for t in missing)
    years = Target(kind="regression", unit="years")
    kinds = {t: store.kinds.get(t, Target() if t in store.targets else years) for t in targets}
    if len({target.kind for target in kinds.values()}) > 1:
        remedy = "Define separate tasks for binary targets, for numeric targets and for each multiclass target"
        raise InputError(
            Problem(where, t, f"is {target.kind}; other targets of the task differ", remedy)
            for t, target in kinds.items()
        )
    title, kind = name or ", ".join(targets), next(iter(kinds.values())).kind
    if kind == "regression":
        return Task(title, tuple(targets), kind, units=tuple(target.unit or "" for target in kinds.values()))
    if kind == "binary":
        return Task(title, tuple(targets), "multilabel")
    if len(targets) > 1:
        raise InputError(
            Problem(where, t, "is one of several multiclass targets", "Define a separate task for each")
            for t in targets
        )
    return Task(title, tuple(targets), "multiclass", tuple(kinds[targets[0]].classes or ()))


def task_values(store: Store, task: Task) -> Array:
    """Return the target values of all recordings, shape (len(store), number of outputs).

    Values are 1 or 0, or numbers for a regression; NaN where unknown. Multiclass targets are one-hot encoded.
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
    """Check that a task has enough data for training and evaluation.

    The training split must satisfy the limits ``LEARN`` in ``ecgssl.datasets.enough_data``. Each split in ``scored``
    must contain both classes of a binary target, two classes of a multiclass target, or two distinct values of a
    regression target.

    Args:
        task: task of the classifier.
        values: target values, as returned by ``task_values``.
        patients: patient codes (N,).
        rows: rows of each split.
        where: path of the store for error messages.
        scored: splits used for evaluation.

    Raises:
        InputError: a split has too little data for a target. The error lists all such targets with their counts.
    """
    problems = []
    for split in ("train", *scored):
        minimum = LEARN if split == "train" else SCORE
        found = shortages(task.kind, task.outputs, values[rows[split]], patients[rows[split]], minimum)
        remedy = "Remove it from the task, or add recordings"
        problems += [Problem(where, name, f"{what} in split {split!r}", remedy) for name, what in found]
    if problems:
        raise InputError(problems)

"""Task of a classifier: targets of one kind, their values in a store, and the check that there is enough data."""

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
        """Return the names of the model outputs: the targets, or ``target:class`` for every class."""
        return tuple(f"{self.targets[0]}:{c}" for c in self.classes) if self.kind == "multiclass" else self.targets


def resolve_task(store: Store, targets: Sequence[str], name: str = "") -> Task:
    """Return the task of named targets, by their kinds in the store.

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
    """Return the target values (len(store), outputs): 1 or 0, or numbers; NaN where unknown.

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
    """Check that there is enough of a task to learn and to score it.

    Train must hold what ``LEARN`` of ``ecgssl.datasets.enough_data`` asks for. Each split of ``scored`` must hold both
    classes of a binary target, two classes of a multiclass one, or two different numbers.

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
        minimum = LEARN if split == "train" else SCORE
        found = shortages(task.kind, task.outputs, values[rows[split]], patients[rows[split]], minimum)
        remedy = "Remove it from the task, or add recordings"
        problems += [Problem(where, name, f"{what} in split {split!r}", remedy) for name, what in found]
    if problems:
        raise InputError(problems)

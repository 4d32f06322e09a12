"""Check whether there is enough of a target to learn it, to score it or to cross-validate it.

All stages use ``shortages``. Their limits differ on purpose and are named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config.manifest import OutputKind


@dataclass(frozen=True)
class Minimum:
    """Patients that a target needs.

    Args:
        each_class: with and without a finding, or of every class.
        numbers: with a known number; at least two of the numbers must differ.
        all_classes: every class of a multiclass target is needed. If false, two classes are enough.
    """

    each_class: int = 1
    numbers: int = 1
    all_classes: bool = True


FIT = Minimum()
"""To fit a model at all."""
SCORE = Minimum(all_classes=False)
"""To compute metrics."""
LEARN = Minimum(each_class=4, numbers=8)
"""To select hyperparameters: with fewer than four patients of a class, no two folds can both train and test on two."""
MIN_CROSS_VALIDATED = 40
"""Recordings for a cross-validation."""


def cross_validation_minimum(folds: int) -> Minimum:
    """Return the minimum for a cross-validation. With fewer, an interval of AUROC spans most of 0.5 to 1."""
    patients = max(10, folds)
    return Minimum(each_class=patients, numbers=2 * patients)


def shortages(
    kind: OutputKind, names: Sequence[str], values: ArrayLike, patients: ArrayLike, minimum: Minimum
) -> list[tuple[str, str]]:
    """Return the targets that fall short of a minimum.

    Args:
        kind: of the targets.
        names: K targets, or the classes of one (``target:class``).
        values: (N, K) numbers, or 1 and 0; NaN where unknown.
        patients: (N,) a key per recording.
        minimum: what is needed.

    Returns:
        (name, what is missing), with the counts.
    """
    cells, keys = np.asarray(values, dtype=np.float64), np.asarray(patients)
    if kind == "multiclass":
        return _class_shortages(names, cells, keys, minimum)
    check = _number_shortage if kind == "regression" else _finding_shortage
    found = [(name, check(column, keys, minimum)) for name, column in zip(names, cells.T, strict=True)]
    return [(name, what) for name, what in found if what]


def _finding_shortage(cells: NDArray[np.float64], patients: NDArray[np.generic], minimum: Minimum) -> str:
    if np.isnan(cells).all():
        return "has no known value"
    ones, zeros = cells == 1, cells == 0
    with_, without = len(np.unique(patients[ones])), len(np.unique(patients[zeros]))
    least = minimum.each_class
    if min(with_, without) >= least:
        return ""
    counted = f"has {int(ones.sum())} positive and {int(zeros.sum())} negative recordings"
    if least == 1:
        return f"{counted}, both are needed,"
    return f"{counted} of {with_} and {without} patients, both classes of at least {least} patients are needed,"


def _class_shortages(
    names: Sequence[str], cells: NDArray[np.float64], patients: NDArray[np.generic], minimum: Minimum
) -> list[tuple[str, str]]:
    target = names[0].rpartition(":")[0] or names[0]
    if np.isnan(cells).all():
        return [(target, "has no known value")]
    counts = {name: len(np.unique(patients[column == 1])) for name, column in zip(names, cells.T, strict=True)}
    if not minimum.all_classes:
        present = sum(n > 0 for n in counts.values())
        return [] if present > 1 else [(target, f"has {present} of its classes, two are needed,")]
    needed = f"at least {minimum.each_class} are needed,"
    return [(name, f"has recordings of {n} patients, {needed}") for name, n in counts.items() if n < minimum.each_class]


def _number_shortage(cells: NDArray[np.float64], patients: NDArray[np.generic], minimum: Minimum) -> str:
    known = ~np.isnan(cells)
    count = len(np.unique(patients[known]))
    if not count:
        return "has no known value"
    if count < minimum.numbers:
        return f"is known for {count} patients, {minimum.numbers} are needed,"
    if len(np.unique(cells[known])) < 2:
        return f"is {cells[known][0]:g} in all {int(known.sum())} known recordings"
    return ""

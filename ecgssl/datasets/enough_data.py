"""Checks that a target has enough patients for training, evaluation or cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.config.manifest import OutputKind


@dataclass(frozen=True)
class Minimum:
    """Minimum number of patients for a target.

    Args:
        each_class: for binary and multiclass targets, minimum number of patients of each class.
        numbers: for regression targets, minimum number of patients with a known value. At least two values must differ.
        all_classes: whether every class of a multiclass target must occur; otherwise two classes are enough.
    """

    each_class: int = 1
    numbers: int = 1
    all_classes: bool = True


FIT = Minimum()
"""Minimum numbers for fitting a model."""
SCORE = Minimum(all_classes=False)
"""Minimum numbers for computing metrics."""
LEARN = Minimum(each_class=4, numbers=8)
"""Minimum numbers for selecting hyperparameters by cross-validation.

Two-fold cross-validation needs four patients of a class, so that each fold has two for training and two for testing.
"""
MIN_CROSS_VALIDATED = 40
"""Minimum number of recordings for evaluation by cross-validation."""


def cross_validation_minimum(folds: int) -> Minimum:
    """Return the minimum numbers for evaluation by cross-validation: one patient per fold, but at least 10, in each class.

    Regression targets need twice as many patients.

    With fewer patients, the confidence interval of the AUROC would cover most of the range from 0.5 to 1.
    """
    patients = max(10, folds)
    return Minimum(each_class=patients, numbers=2 * patients)


def shortages(
    kind: OutputKind, names: Sequence[str], values: ArrayLike, patients: ArrayLike, minimum: Minimum
) -> list[tuple[str, str]]:
    """Return the targets and classes that have too few patients, and regression targets with only one distinct value.

    Args:
        kind: kind of the targets.
        names: names of K targets, or of K classes of one multiclass target (``target:class``).
        values: array (N, K) of target values; NaN if unknown. Classes have the values 1 and 0.
        patients: (N,) patient of each recording.
        minimum: required numbers of patients.

    Returns:
        A list of pairs: the name of the target or class, and a message with the counts.
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

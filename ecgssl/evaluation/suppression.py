"""Suppression of small groups, so that no withheld count can be computed from the published counts.

Small groups are withheld (primary suppression). Further groups are withheld, so that the small ones cannot be computed from
the totals over all groups, which are always published (secondary suppression; Hundepool et al., Statistical Disclosure
Control, Wiley 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SMALLEST = 10
"""Smaller numbers of patients are withheld, except 0."""
WIDTH = 4
"""Minimum difference between the upper and lower bound of a withheld count that follow from the published numbers."""

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
Key = TypeVar("Key", str, float)


def small(counts: Counts) -> Mask:
    """Return the mask of the counts from 1 to 9."""
    return (counts > 0) & (counts < SMALLEST)


def withheld_groups(patients: Counts, least: Counts) -> Mask:
    """Return the mask (G,) of the groups whose sizes are withheld.

    Groups with a number from 1 to 9 in any column are withheld. Then further groups are withheld, the smallest first, until
    the withheld sizes cannot be inferred from their sum (``is_open``) or all groups are withheld. If only one group has
    patients, nothing is withheld, because its size is the published total.

    Args:
        patients: (G, Q) numbers of patients by group: of all patients in the first column, and of those with a known value of
            each label in the others. The total of each column is published.
        least: (G,) smallest possible sizes that follow from the publication of a group's name.
    """
    counts = patients[:, 0]
    if (counts > 0).sum() < 2:
        return np.zeros(len(counts), dtype=bool)
    hidden: Mask = np.asarray(small(patients).any(axis=1))
    for group in np.argsort(counts, kind="stable"):
        if not hidden.any() or is_open(counts[hidden], least[hidden]):
            break
        hidden[group] = True
    return hidden


def is_open(hidden: Counts, least: Counts) -> bool:
    """Return whether withheld sizes (H,) cannot be inferred from their sum and their known lower bounds ``least`` (H,).

    At least two sizes must be above 0, and the sum must be at least 10 and exceed the sum of the bounds by more than 4.
    """
    total = hidden.sum()
    slack = total - np.maximum(least, hidden > 0).sum()
    return bool((hidden > 0).sum() > 1 and total >= SMALLEST and slack > WIDTH)


@dataclass(frozen=True)
class ClassCounts:
    """Counts of one label by group. All arrays have the shape (G,).

    Args:
        positives, negatives: numbers of recordings.
        positive_patients, negative_patients: numbers of patients.
    """

    positives: Counts
    negatives: Counts
    positive_patients: Counts
    negative_patients: Counts

    @property
    def fewest(self) -> Counts:
        """Return the number (G,) of patients with positive or with negative recordings, whichever is smaller."""
        return np.minimum(self.positive_patients, self.negative_patients)

    @property
    def trivial(self) -> bool:
        """Return whether the published totals determine every count, because there is only one class or only one group."""
        groups = int(((self.positives + self.negatives) > 0).sum())
        return not (self.positives.sum() and self.negatives.sum() and groups > 1)


def withheld_classes(counts: ClassCounts, sizes: Mask) -> Mask:
    """Return the mask (G,) of the groups whose numbers of positives are withheld.

    Args:
        counts: counts of a label.
        sizes: mask (G,) of the groups whose sizes are withheld.
    """
    if counts.trivial:
        return sizes.copy()
    there = counts.positives + counts.negatives > 0
    hidden: Mask = sizes | (there & (counts.fewest < SMALLEST))
    for group in np.argsort(counts.fewest, kind="stable"):
        both = [counts.positive_patients[hidden].sum(), counts.negative_patients[hidden].sum()]
        if not hidden.any() or ((hidden & there).sum() > 1 and min(both) >= SMALLEST):
            break
        hidden[group] |= there[group]
    return hidden


def narrow_sizes(patients: Counts, hidden: Mask, least: Counts) -> bool:
    """Return whether a withheld size could be narrowed down to a range below ``WIDTH`` if metrics were published.

    Metrics are published only for groups with at least ten patients, so they reveal this lower bound.

    Args:
        patients: (G,) numbers of patients by group.
        hidden: mask (G,) of the groups whose sizes are withheld.
        least: (G,) smallest possible sizes that follow from the publication of a group's name.
    """
    counts = patients[hidden]
    low = np.where(counts >= SMALLEST, SMALLEST, np.minimum(counts, least[hidden]))
    high = np.where(counts >= SMALLEST, counts.sum(), SMALLEST - 1)
    most = np.minimum(high, counts.sum() - (low.sum() - low))
    least = np.maximum(low, counts.sum() - (high.sum() - high))
    return bool((most - least < WIDTH).any())


def narrow(counts: ClassCounts, hidden: Mask, sizes: Mask) -> bool:
    """Return whether a withheld count could be narrowed down to a range below ``WIDTH`` if metrics were published.

    In a group of published size with fewer than four recordings, the limit is the number of recordings.

    Metrics are published only for groups with at least ten patients of each class, so they reveal this lower bound.

    Args:
        counts: counts of a label.
        hidden: mask (G,) of the groups whose numbers of positives are withheld.
        sizes: mask (G,) of the groups whose sizes are withheld as well.
    """
    flipped = ClassCounts(counts.negatives, counts.positives, counts.negative_patients, counts.positive_patients)
    return _narrow(counts, flipped, hidden, sizes) or _narrow(flipped, counts, hidden, sizes)


def _narrow(counts: ClassCounts, flipped: ClassCounts, hidden: Mask, sizes: Mask) -> bool:
    known, unknown = np.flatnonzero(hidden & ~sizes), np.flatnonzero(hidden & sizes)
    low, high = _bounds(counts)
    other_low, _ = _bounds(flipped)
    records = counts.positives + counts.negatives
    total, other_total = counts.positives[hidden].sum(), counts.negatives[hidden].sum()
    # bounds of the sum of positives in groups with a published size, from the totals of both classes
    floor = records[known].sum() - other_total + other_low[unknown].sum()
    ceiling = total - low[unknown].sum()
    floor, ceiling = max(floor, low[known].sum()), min(ceiling, high[known].sum())
    for group in known:
        least = max(low[group], floor - (high[known].sum() - high[group]))
        most = min(high[group], ceiling - (low[known].sum() - low[group]))
        if most - least < min(WIDTH, records[group]):
            return True
    for group in unknown:
        rest = total - floor - (low[unknown].sum() - low[group])
        least = max(low[group], total - ceiling - (high[unknown].sum() - high[group]))
        if min(high[group], rest) - least < WIDTH:
            return True
    return False


def _bounds(counts: ClassCounts) -> tuple[Counts, Counts]:
    """Return lower and upper bounds (G,) of the numbers of positives, given which groups have published metrics."""
    records = counts.positives + counts.negatives
    shown = counts.fewest >= SMALLEST
    low = np.where(shown, SMALLEST, 0)
    high = np.where(shown, records - SMALLEST, records)
    rare = ~shown & (counts.positive_patients < SMALLEST)
    high = np.where(rare, np.minimum(high, np.maximum(SMALLEST - 1, counts.positives)), high)
    other = ~shown & ~rare
    low = np.where(other, records - np.maximum(SMALLEST - 1, counts.negatives), low)
    return np.maximum(low, 0), high


def withheld_table(positives: Counts, fewest: Counts, sizes: Mask) -> Mask:
    """Return the mask (G, C) of the withheld cells of a table of groups by classes.

    All cells are withheld if one is small, except those of classes without recordings. With a single class, its counts are
    the sizes of the groups.

    Args:
        positives: (G, C) numbers of recordings by group and class.
        fewest: (G, C) numbers of patients of the class or of the other classes, whichever is smaller.
        sizes: mask (G,) of the groups whose sizes are withheld.
    """
    there = positives.sum(axis=0) > 0
    possible = (positives.sum(axis=1, keepdims=True) > 0) & there
    several = bool(possible.any(axis=1).sum() > 1 and there.sum() > 1)
    secret = bool(sizes.any() or (possible & (fewest < SMALLEST)).any())
    rows = np.full(len(sizes), secret) if several else sizes
    return np.asarray(rows[:, None] & there)


def class_table(counts: Mapping[Key, ClassCounts]) -> tuple[Counts, Counts]:
    """Return the arguments ``positives`` and ``fewest`` (G, C) of ``withheld_table``, from the counts of each class."""
    return (
        np.column_stack([one.positives for one in counts.values()]),
        np.column_stack([one.fewest for one in counts.values()]),
    )


def withheld_by_class(counts: Mapping[Key, ClassCounts], sizes: Mask, *, exclusive: bool) -> dict[Key, Mask]:
    """Return for each class the mask (G,) of the groups whose numbers of positives are withheld.

    Args:
        counts: counts of each class or label.
        sizes: mask (G,) of the groups whose sizes are withheld.
        exclusive: whether a recording has exactly one of the classes, so that their counts add up to published totals.
    """
    if not exclusive:
        return {name: withheld_classes(one, sizes) for name, one in counts.items()}
    if not counts:
        return {}
    return dict(zip(counts, withheld_table(*class_table(counts), sizes).T, strict=True))


def narrow_table(positives: Counts, fewest: Counts, sizes: Mask) -> bool:
    """Return whether a withheld cell of a table of groups by classes could be narrowed down if metrics were published.

    Args:
        positives: (G, C) numbers of recordings by group and class, all withheld. The sums of all classes are published,
            and the sums of the groups that are not in ``sizes``.
        fewest: (G, C) numbers of patients of the class or of the other classes, whichever is smaller. Metrics are
            published if it is at least 10.
        sizes: mask (G,) of the groups whose sizes are withheld.
    """
    from scipy.optimize import linprog

    groups, classes = positives.shape
    cells = np.arange(positives.size).reshape(positives.shape)
    rows = [cells[g] for g in range(groups) if not sizes[g]] + [cells[:, c] for c in range(classes)]
    rows += [cells[sizes].ravel()] if sizes.any() else []
    sums = np.zeros((len(rows), positives.size))
    for number, row in enumerate(rows):
        sums[number, row] = 1
    totals = [positives.ravel()[row].sum() for row in rows]
    shown = fewest >= SMALLEST
    rare, others = ~shown & (positives < SMALLEST), positives.sum(axis=1, keepdims=True) - positives
    bounds = [(SMALLEST if s else 0, SMALLEST - 1 if r else None) for s, r in zip(shown.flat, rare.flat, strict=True)]
    # bounds of the sum of the other classes of a group: at least 10 if metrics are published, otherwise an upper bound
    rest = np.kron(np.eye(groups), np.ones((classes, classes)) - np.eye(classes))
    sign = np.where(shown, -1.0, 1.0).ravel()
    most = np.where(shown, -SMALLEST, np.where(rare, positives.sum(), np.maximum(SMALLEST - 1, others))).ravel()
    for cell in np.flatnonzero((positives.sum(axis=1, keepdims=True) > 0) & (positives.sum(axis=0) > 0)):
        ends = []
        for direction in (1, -1):
            cost = np.zeros(positives.size)
            cost[cell] = direction
            done = linprog(cost, rest * sign[:, None], most, sums, totals, bounds)
            ends.append(direction * done.fun)
        possible = np.floor(ends[1] + 1e-6) - np.ceil(ends[0] - 1e-6)
        group, column = divmod(cell, classes)
        if possible < min(WIDTH, positives[group].sum(), positives[:, column].sum()):
            return True
    return False

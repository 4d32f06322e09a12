"""Age, sex, site and device of the recordings by split, with small counts and rare values withheld."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.evaluation.linked_columns import Groups, by_first_record, reveals
from ecgssl.evaluation.subgroups import NAMED, OTHERS, UNKNOWN, age_band, common_groups
from ecgssl.evaluation.suppression import SMALLEST, Counts, Mask, is_open, small, withheld_groups
from ecgssl.report.cohort import FOLDS, SPLITS, split_names
from ecgssl.store.store import Store

COLUMNS = ("sex", "site", "device")
_MOST = 8

Entries = Sequence[Mapping[str, Any]]


def people(
    store: Store, subgroups: Mapping[str, Entries] | None = None, *, as_one: str | None = None
) -> dict[str, Any]:
    """Return age, sex, site and device of the recordings by split.

    If a split has several values, the number of recordings of one to nine patients is withheld (``None``). Further counts
    are withheld so that it cannot be computed from the totals of the splits or from the sizes of the subgroups. Values with
    fewer than five patients, and all but the eight most common values, are counted together as ``all others``.

    Args:
        store: store of the recordings.
        subgroups: results by subgroup of each evaluated split, from ``evaluation.json``. Their withheld groups are withheld
            here as well.
        as_one: as in ``cohort_flow``.

    Returns:
        ``{"splits": [...], "age": {split: {known, median, low, high}}, "sex" | "site" | "device": [{value, counts}]}``.
        ``low`` and ``high`` are quartiles. With fewer than ten patients of known age, they and the median are ``None``. A
        column is omitted if it has no values, only rare values, or counts that cannot be protected, for example because
        another column has the same groups and shows them.
    """
    index = store.index.assign(split=split_names(store, as_one))
    if "patient" not in index:
        index = index.assign(patient=np.arange(len(index)))
    splits = [s for s in (FOLDS, *SPLITS) if (index["split"] == s).any()]
    # evaluation.json of a cross-validated run contains the results of all folds as split test
    published = {s: (subgroups or {}).get("test" if s == FOLDS else s) or [] for s in splits}
    found: dict[str, Any] = {"splits": splits}
    if "age" in index and index["age"].notna().any():
        found["age"] = {s: _ages(index[index["split"] == s], _sizes(published[s], "age")) for s in splits}
    linked = {s: _age_groups(index[index["split"] == s], _sizes(published[s], "age")) for s in splits}
    for column in COLUMNS:
        if column not in index:
            continue
        grouped = common_groups(index[column], column, index["patient"], _MOST)
        if grouped is None:
            continue
        named = sorted(set(grouped) - {OTHERS, UNKNOWN})
        values = [v for v in (*named, OTHERS, UNKNOWN) if (grouped == v).any()]
        counts = [_counts(index, grouped, values, s, _sizes(published[s], column)) for s in splits]
        scored = np.array([_scored(published[s], column, values) for s in splits])
        if not _is_open(index, grouped, values, splits, counts, scored):
            continue
        more = {s: _linked(grouped[index["split"] == s], values, row) for s, row in zip(splits, counts, strict=True)}
        together = [[*linked[s], more[s]] for s in splits]
        if any(reveals([c for c, _ in both], [h for _, h in both], sizes=True) for both in together):
            continue
        for split in splits:
            linked[split].append(more[split])
        found[column] = [
            {"value": str(v), "counts": list(row)} for v, row in zip(values, zip(*counts, strict=True), strict=True)
        ]
    return found


def _sizes(entries: Entries, column: str) -> dict[str, bool]:
    """Return for every group of a column whether its size is withheld; empty if the column has no subgroups."""
    own = [entry for entry in entries if entry["column"] == column and entry.get("group") is not None]
    hidden = {str(entry["group"]): False for entry in own}
    for entry in own:
        hidden[str(entry["group"])] |= entry["records"] is None
    return hidden


def _scored(entries: Entries, column: str, values: Sequence[str]) -> list[int]:
    """Return the published number of scored recordings of each value, 0 if there is none: a lower bound of its count."""
    own = [entry for entry in entries if entry["column"] == column]
    return [max((entry["records"] or 0 for entry in own if entry["group"] == value), default=0) for value in values]


def _linked(grouped: pd.Series, values: Sequence[str], counts: Sequence[int | None]) -> tuple[Groups, Mask]:
    """Return the group index of each recording of a split, and the mask of the groups with withheld counts."""
    places = {value: place for place, value in enumerate(values)}
    index = np.array([places[value] for value in grouped], dtype=np.int64)
    return index, np.array([count is None for count in counts], dtype=bool)


def _age_groups(part: pd.DataFrame, subgroup: Mapping[str, bool]) -> list[tuple[Groups, Mask]]:
    """Return the age bands of the subgroups in the form of ``_linked``, or an empty list if there are none."""
    limits = sorted({float(number) for name in subgroup for number in re.findall(r"[0-9.]+", name)})
    if not limits or "age" not in part:
        return []
    grouped = age_band(part["age"], limits)
    values = sorted(set(grouped) | set(subgroup))
    # a band that is not among the subgroups has no published count
    return [_linked(grouped, values, [None if subgroup.get(value, True) else 0 for value in values])]


def _counts(
    index: pd.DataFrame, grouped: pd.Series, values: Sequence[str], split: str, subgroup: Mapping[str, bool]
) -> list[int | None]:
    """Return the recordings of each value in a split; ``None`` where they are withheld."""
    own = index["split"] == split
    masks = [(own & (grouped == v)).to_numpy() for v in values]
    records = np.array([int(mask.sum()) for mask in masks])
    patients = np.array([index.loc[mask, "patient"].nunique() for mask in masks])
    # as in ``subgroups``, ties must not depend on the names of values
    turn = by_first_record(masks)
    hidden: Mask = np.zeros(len(values), dtype=bool)
    hidden[turn] = withheld_groups(patients[turn, None], np.ones(len(values), dtype=np.int64))
    if subgroup:
        there = np.flatnonzero(patients).tolist()
        names = [values[i] if values[i] in subgroup else OTHERS for i in there]
        same = len(set(names)) == len(names) and set(names) == set(subgroup)
        theirs = np.zeros(len(values), dtype=bool)
        theirs[there] = [subgroup.get(name, False) for name in names]
        if not (same and (theirs | ~small(patients)).all()) and (hidden.any() or any(subgroup.values())):
            # a count that only one of the two tables withholds could be computed from the other table
            return [None] * len(values)
        hidden = theirs
    return [None if h else int(n) for n, h in zip(records, hidden, strict=True)]


def _is_open(
    index: pd.DataFrame,
    grouped: pd.Series,
    values: Sequence[str],
    splits: Sequence[str],
    counts: list[list[int | None]],
    scored: Counts,
) -> bool:
    """Return whether the published names and counts of all splits do not reveal any withheld count."""
    least = np.array([1 if value in (UNKNOWN, OTHERS) else NAMED for value in values])
    shown = np.array([[count or 0 for count in row] for row in counts])
    for number, split in enumerate(splits):
        hidden = np.array([count is None for count in counts[number]])
        if hidden.any():
            records = np.array([int(((index["split"] == split) & (grouped == value)).sum()) for value in values])
            elsewhere = shown.sum(axis=0) - shown[number]
            lowest = np.maximum(np.maximum(least - elsewhere, 0), scored[number])
            if not is_open(records[hidden], lowest[hidden]):
                return False
    return True


def _ages(part: pd.DataFrame, subgroup: Mapping[str, bool]) -> dict[str, Any]:
    ages = pd.to_numeric(part["age"], errors="coerce")
    known = ages.notna().to_numpy()
    counts = np.array([part.loc[known, "patient"].nunique(), part.loc[~known, "patient"].nunique()])
    secret = small(counts).any() or subgroup.get(UNKNOWN, False)
    entry: dict[str, Any] = {"known": None if secret else int(known.sum())}
    if counts[0] < SMALLEST:
        return entry | {"median": None, "low": None, "high": None}
    low, median, high = np.quantile(ages[known].to_numpy(dtype=float), [0.25, 0.5, 0.75])
    return entry | {"median": float(median), "low": float(low), "high": float(high)}

"""Summary of a cohort check for its HTML page, which people without access to the recordings may see.

Counts by sex, site, device and age, and of targets by split and sex, are withheld (``None``) if they concern one to nine
patients, and further counts from which they could be computed. Totals, counts by split and counts of findings are kept. The
rules are those of reports (``ecgssl.evaluation.suppression``, ``ecgssl.evaluation.linked_columns``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.evaluation.linked_columns import Groups, by_first_record, reveals
from ecgssl.evaluation.subgroups import NAMED, OTHERS, UNKNOWN, common_groups
from ecgssl.evaluation.suppression import (
    SMALLEST,
    ClassCounts,
    Counts,
    Mask,
    is_open,
    small,
    withheld_by_class,
    withheld_groups,
)
from ecgssl.inspection.check import Checked
from ecgssl.inspection.check_summary import AGES, NOT_STATED, age_names, with_people

_COLUMNS = (("sex", "sexes"), ("site", "sites"), ("device", "devices"))
_FILES = ("format", "rate", "duration", "leads_in_file")
_MOST_NAMED = 12


@dataclass(frozen=True)
class _Column:
    """Groups of the recordings by a column.

    Args:
        names: names of the groups.
        codes: group (n,) of each recording.
        hidden: mask (G,) of the groups whose count is withheld.
    """

    names: tuple[str, ...]
    codes: Groups
    hidden: Mask

    @property
    def rows(self) -> list[NDArray[np.bool_]]:
        """Mask (n,) of the recordings of each group."""
        return [self.codes == group for group in range(len(self.names))]


def for_page(summary: Mapping[str, Any], checked: Checked) -> dict[str, Any]:
    """Return the summary with small counts of patients withheld (``None``).

    The totals and the numbers of recordings and patients of each split are kept. Counts by sex, site, device and age,
    classes of targets by split and by sex, and quantiles of fewer than ten patients are protected. Groups whose counts
    cannot be protected are left out.

    Args:
        summary: result of ``ecgssl.inspection.check_summary.summarise``.
        checked: result of the check.
    """
    kept = with_people(checked.described(checked.kept)).reset_index(drop=True)
    if kept.empty:
        return dict(summary)
    patients = kept["patient_id"].to_numpy().astype(str)
    targets = {name: kept[f"target {name}"].to_numpy(dtype=float) for name in checked.cohort.targets}
    split = _open_column(kept["split"])
    shown = [split, *(_open_column(kept[name].astype(str)) for name in _FILES)]
    found = dict(summary)
    made: dict[str, _Column | None] = {}
    for column, key in _COLUMNS:
        made[column] = (
            _protected(kept, column, patients, targets if column == "sex" else {}, shown) if column in kept else None
        )
        found[key] = _counts(made[column])
        if column == "sex":
            found["ages"], by_age = _ages(summary["ages"], kept, made["sex"], patients, shown)
            shown += [by_age] if by_age is not None else []
    found["targets"] = [
        _target(about, targets[about["name"]], patients, split, made["sex"]) for about in summary["targets"]
    ]
    return found


def _open_column(values: pd.Series) -> _Column:
    codes, names = pd.factorize(values)
    return _Column(tuple(map(str, names)), codes.astype(np.int64), np.zeros(len(names), dtype=bool))


def _people(
    rows: Sequence[NDArray[np.bool_]], patients: NDArray[np.str_], where: NDArray[np.bool_] | None = None
) -> Counts:
    return np.array([len(np.unique(patients[row if where is None else row & where])) for row in rows])


def _protected(
    kept: pd.DataFrame,
    column: str,
    patients: NDArray[np.str_],
    targets: Mapping[str, NDArray[np.float64]],
    shown: list[_Column],
) -> _Column | None:
    """Return the groups of a column and add them to ``shown``; ``None`` if they are unknown or cannot be protected."""
    grouped = common_groups(kept[column], column, pd.Series(patients), _MOST_NAMED)
    if grouped is None:
        return None
    names = list(dict.fromkeys(grouped))
    rows = [(grouped == name).to_numpy() for name in names]
    turn = by_first_record(rows)
    names, rows = [names[g] for g in turn], [rows[g] for g in turn]
    least = np.array([1 if name in (UNKNOWN, OTHERS) else NAMED for name in names])
    sizes = np.column_stack(
        [_people(rows, patients), *(_people(rows, patients, ~np.isnan(t)) for t in targets.values())]
    )
    hidden = withheld_groups(sizes, least)
    if hidden.all() and not is_open(sizes[:, 0], least):
        return None
    own = _Column(tuple(names), np.argmax(rows, axis=0).astype(np.int64), hidden)
    everything = [*shown, own]
    if reveals([one.codes for one in everything], [one.hidden for one in everything], sizes=True):
        return None
    shown.append(own)
    return own


def _counts(column: _Column | None) -> list[dict[str, Any]]:
    if column is None:
        return []
    counts = [int(row.sum()) for row in column.rows]
    found = [
        {"value": name, "count": None if hidden else count}
        for name, count, hidden in zip(column.names, counts, column.hidden, strict=True)
    ]
    # withheld counts come last and by name, because their order must not tell which one is larger
    return sorted(found, key=lambda entry: (-(entry["count"] or 0), entry["value"]))


def _ages(
    about: Mapping[str, Any],
    kept: pd.DataFrame,
    sex: _Column | None,
    patients: NDArray[np.str_],
    shown: Sequence[_Column],
) -> tuple[dict[str, Any], _Column | None]:
    """Return the age histogram with bins of no or of at least ten patients of each series, and its bins as a column."""
    if not about:
        return {}, None
    age = kept["age"].to_numpy(dtype=float)
    known = ~np.isnan(age)
    decade = np.clip(np.searchsorted(AGES, np.where(known, age, 0), side="right") - 1, 0, None)
    every = {"recordings": np.ones(len(age), dtype=bool)}
    by_sex = every if sex is None or sex.hidden.any() else _series(sex)
    for series in (by_sex, every):
        by_decade = [known & (decade == place) for place in range(len(AGES))]
        bins = _merged([_people(by_decade, patients, row) for row in series.values()])
        if not bins:
            continue
        place = np.array([next(b for b, (low, high) in enumerate(bins) if low <= d <= high) for d in decade])
        codes = np.where(known, place * len(series) + np.argmax(list(series.values()), axis=0), len(bins) * len(series))
        own = _Column(tuple(map(str, range(codes.max() + 1))), codes, np.zeros(codes.max() + 1, dtype=bool))
        everything = [*shown, own]
        if reveals([one.codes for one in everything], [one.hidden for one in everything], sizes=True):
            continue
        counts = {
            name: [int((row & known & (place == b)).sum()) for b in range(len(bins))] for name, row in series.items()
        }
        names = [age_names(low, high) for low, high in bins]
        return dict(about) | {"bins": names, "counts": counts}, own
    return {}, None


def _series(sex: _Column) -> dict[str, NDArray[np.bool_]]:
    named = {name: row for name, row in zip(sex.names, sex.rows, strict=True) if name in ("female", "male")}
    rest = ~np.any(list(named.values()), axis=0) if named else np.ones(len(sex.codes), dtype=bool)
    return named | ({NOT_STATED: rest} if rest.any() else {})


def _merged(series: Sequence[Counts]) -> list[tuple[int, int]]:
    """Return the first and last bin of each group of neighbours in which no series has 1 to 9 patients, or an empty list."""
    counts = np.array(series)
    groups: list[tuple[int, int]] = []
    start = 0
    for stop in range(counts.shape[1]):
        if not small(counts[:, start : stop + 1].sum(axis=1)).any():
            groups.append((start, stop))
            start = stop + 1
    if start < counts.shape[1]:
        while groups and small(counts[:, start:].sum(axis=1)).any():
            start = groups.pop()[0]
        if small(counts[:, start:].sum(axis=1)).any():
            return []
        groups.append((start, counts.shape[1] - 1))
    return groups if counts.sum() else []


def _target(
    about: Mapping[str, Any],
    cells: NDArray[np.float64],
    patients: NDArray[np.str_],
    split: _Column,
    sex: _Column | None,
) -> dict[str, Any]:
    """Return the description of a target; withheld numbers of a group are ``None``."""
    groups: dict[str, Any] = {}
    classes = {"regression": (), "binary": (1.0,)}.get(about["kind"], tuple(range(len(about.get("by_class", ())))))
    linked: list[tuple[_Column, dict[float, Mask]]] = []
    for column in (split, sex):
        if column is None:
            continue
        masks = _withheld(cells, column, patients, classes, about["kind"])
        own = (column, masks)
        if any(reveals([c.codes for c, _ in (*linked, own)], [m[k] for _, m in (*linked, own)]) for k in classes):
            continue
        linked.append(own)
        for g, name in enumerate(column.names):
            if name in about["groups"]:
                groups[name] = _group(about, about["groups"][name], cells, patients, column, g, masks)
    return dict(about) | {"groups": groups}


def _group(
    about: Mapping[str, Any],
    values: Mapping[str, Any],
    cells: NDArray[np.float64],
    patients: NDArray[np.str_],
    column: _Column,
    group: int,
    masks: Mapping[float, Mask],
) -> dict[str, Any]:
    if about["kind"] == "regression":
        own = (column.codes == group) & ~np.isnan(cells)
        few = column.hidden[group] or len(np.unique(patients[own])) < SMALLEST
        return {"known": None} if few else dict(values)
    if about["kind"] == "binary":
        return {"known": None, "positive": None} if masks[1.0][group] else dict(values)
    return {name: None if masks[code][group] else count for code, (name, count) in enumerate(values.items())}


def _withheld(
    cells: NDArray[np.float64], column: _Column, patients: NDArray[np.str_], classes: Sequence[float], kind: str
) -> dict[float, Mask]:
    """Return for each class the mask (G,) of the groups whose number of recordings of the class is withheld."""
    rows, known = column.rows, ~np.isnan(cells)
    counts = {}
    for code in classes:
        sick, well = known & (cells == code), known & (cells != code)
        counts[code] = ClassCounts(
            np.array([int((row & sick).sum()) for row in rows]),
            np.array([int((row & well).sum()) for row in rows]),
            _people(rows, patients, sick),
            _people(rows, patients, well),
        )
    return withheld_by_class(counts, column.hidden, exclusive=kind != "binary")

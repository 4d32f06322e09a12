"""Metrics by subgroup (sex, age, site, device or another column), with small groups withheld.

Results from fewer than ten patients could identify a patient and are withheld. Further groups are withheld so that a small
group cannot be computed by subtraction (``ecgssl.evaluation.suppression``). Names of groups with fewer than five patients
are not published, except age bands and ``unknown``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config.manifest import OutputKind
from ecgssl.evaluation.linked_columns import Groups, by_first_record, reveals
from ecgssl.evaluation.predictions import patients_of
from ecgssl.evaluation.statistics.metrics import metrics_of
from ecgssl.evaluation.suppression import (
    SMALLEST,
    ClassCounts,
    Counts,
    Mask,
    class_table,
    is_open,
    narrow,
    narrow_sizes,
    narrow_table,
    withheld_by_class,
    withheld_groups,
)

NAMED = 5
"""Minimum number of patients of a group whose name is published; does not apply to age bands and ``unknown``."""
MOST_GROUPS = 30
UNKNOWN = "unknown"
OTHERS = "all others"
TOO_FEW = f"fewer than {SMALLEST}"
BY_ANOTHER_COLUMN = "withheld, because the size of a small group could be computed from another column"
BY_SUBTRACTION = "withheld, because the size of a small group could be computed from it"
WITHHELD = "withheld, with a small group"
_BINS = 3
_WORDS = ("sex", "site", "device")
"""Columns whose values are names of groups, even if they are numbers."""

Measure = Callable[[pd.DataFrame], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class _Cell:
    """Published numbers of a label in a group, and whether its metrics are published.

    Args:
        records, patients: numbers of recordings and patients with a known target; ``None`` if withheld.
        positives: number of positive recordings; ``None`` if withheld, and for a regression.
        measured: whether the metrics are published.
        rates: whether the published metrics include proportions such as the sensitivity.
        withheld: reason why a value is withheld; empty if none is.
    """

    records: int | None
    patients: int | None
    positives: int | None
    measured: bool
    rates: bool
    withheld: str = ""


def subgroups(
    part: pd.DataFrame,
    groups: pd.DataFrame,
    names: Sequence[str],
    kind: OutputKind,
    measure: Measure,
    bands: Sequence[float],
) -> list[dict[str, Any]]:
    """Compute the metrics of a model for all groups of all columns of ``groups``.

    Args:
        part: rows of one model and split of a prediction table.
        groups: table with one row per recording, indexed by ``record_id``; missing recordings are in group ``unknown``.
        names: labels of the table.
        kind: kind of the task.
        measure: function that returns ``{label: {metric: ...}}`` for the rows of a group.
        bands: boundaries between the age bands in years, ascending, for the column ``age``.

    Returns:
        List of ``{"column", "group", "label", "records", "patients", "positives", "metrics"}``, without ``positives`` for
        a regression. Withheld or undefined values are ``None``. If a value is withheld, ``withheld`` contains the reason.
        Groups with fewer than five patients are joined as ``all others``, except age bands and ``unknown``. A column
        whose groups cannot be reported (more than 30 groups, or too few patients) has one entry with the group ``None``.
        The same applies to a column whose withheld counts could be computed from those of an earlier column, because their
        groups are related (``ecgssl.evaluation.linked_columns``). A column without known values has no entry.
    """
    found: list[dict[str, Any]] = []
    linked: list[tuple[Groups, dict[str, Mask]]] = []
    for column in groups.columns:
        values = part["record_id"].map(groups[column])
        grouped = age_band(values, bands) if column == "age" else group_values(values, column)
        order = list(dict.fromkeys(sorted(grouped, key=_sort_key(grouped, values))))
        if order == [UNKNOWN]:
            continue
        if len(order) > MOST_GROUPS:
            text = f"{len(order)} groups, at most {MOST_GROUPS} are reported"
            found.append({"column": column, "group": None, "withheld": text})
            continue
        if column != "age":
            grouped = join_rare(grouped, part["patient"])
            order = [g for g in order if (grouped == g).any()] + ([OTHERS] if (grouped == OTHERS).any() else [])
        if set(order) <= {UNKNOWN, OTHERS}:
            found.append({"column": column, "group": None, "withheld": f"no group has {NAMED} patients"})
            continue
        rows = [(grouped == group).to_numpy() for group in order]
        # columns with equal content must get equal suppression, so ties must not depend on the names of groups
        turn = by_first_record(rows)
        order, rows = [order[g] for g in turn], [rows[g] for g in turn]
        least = np.array([1 if column == "age" or group in (UNKNOWN, OTHERS) else NAMED for group in order])
        cells = _publish(part, rows, names, kind, least)
        if cells is None:
            found.append({"column": column, "group": None, "withheld": "too few patients for groups"})
            continue
        own = (np.argmax(rows, axis=0), _hidden(cells, len(rows), names, kind))
        if any(
            reveals([c for c, _ in (*linked, own)], [h[q] for _, h in (*linked, own)], sizes=q == "") for q in own[1]
        ):
            found.append({"column": column, "group": None, "withheld": BY_ANOTHER_COLUMN})
            continue
        linked.append(own)
        for number in np.argsort(turn).tolist():
            group = order[number]
            shown = any(cells[number, n].measured for n in names)
            measured = measure(part[rows[number]]) if shown else {}
            found += [_entry(column, group, n, cells[number, n], measured.get(n), kind) for n in names]
    return found


def age_band(years: pd.Series, bands: Sequence[float]) -> pd.Series:
    """Return the age band of each age, such as ``under 18``, ``18 to under 40``, ``75 and over`` or ``unknown``."""
    edges = [f"{b:g}" for b in bands]
    middle = [f"{a} to under {b}" for a, b in pairwise(edges)]
    names = np.array([f"under {edges[0]}", *middle, f"{edges[-1]} and over", UNKNOWN], dtype=object)
    age = pd.to_numeric(years, errors="coerce").to_numpy(dtype=float)
    index = np.where(np.isnan(age), len(names) - 1, np.searchsorted(np.asarray(bands), age, side="right"))
    return pd.Series(names[index], index=years.index)


def group_values(values: pd.Series, column: str) -> pd.Series:
    """Return the group of each value: the value as text, a range of numbers, or ``unknown`` if it is missing or empty.

    Ranges are used for more than ten distinct numbers, unless the column contains names (``_WORDS``). Their boundaries
    are the rounded tertiles.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    numeric = bool(numbers.notna().sum() == values.notna().sum()) and bool(numbers.notna().any())
    if numeric and numbers.nunique() > SMALLEST and column not in _WORDS:
        cuts = np.quantile(numbers.dropna(), np.linspace(0, 1, _BINS + 1))[1:-1]
        # round the boundaries, because an exact boundary would disclose the value of a recording
        return age_band(numbers, sorted({float(f"{cut:.2g}") for cut in cuts}))
    text = numbers.map(lambda v: f"{v:g}") if numeric else values.astype(str).str.strip()
    blank = values.isna() | (values.astype(str).str.strip() == "")
    return text.where(~blank, UNKNOWN)


def _sort_key(grouped: pd.Series, values: pd.Series) -> Callable[[str], tuple[bool, float, str]]:
    """Return a sort key: numbers by size, text alphabetically, ``unknown`` last."""
    first = pd.to_numeric(values, errors="coerce").groupby(grouped).min()
    size = {str(name): float(value) if value == value else 0.0 for name, value in first.items()}
    return lambda name: (name == UNKNOWN, size.get(name, 0.0), name)


def join_rare(grouped: pd.Series, patients: pd.Series) -> pd.Series:
    """Return the groups, where those with fewer than five patients are replaced by ``all others``; ``unknown`` is kept."""
    counts = patients.groupby(grouped.to_numpy()).nunique()
    rare = [group for group, count in counts.items() if count < NAMED and group != UNKNOWN]
    return grouped.where(~grouped.isin(rare), OTHERS)


def common_groups(values: pd.Series, column: str, patients: pd.Series, most: int) -> pd.Series | None:
    """Return the group of each value, where rare groups and all but the most common ones are replaced by ``all others``.

    Args:
        values: values of a column.
        column: name of the column.
        patients: patient of each value.
        most: largest number of groups besides ``all others`` and ``unknown``.

    Returns:
        Groups; ``None`` if there is no group that can be named.
    """
    grouped = join_rare(group_values(values, column), patients)
    common = grouped[~grouped.isin((UNKNOWN, OTHERS))].value_counts().index[:most]
    return grouped.where(grouped.isin((*common, UNKNOWN)), OTHERS) if len(common) else None


def _publish(
    part: pd.DataFrame, rows: Sequence[NDArray[np.bool_]], names: Sequence[str], kind: OutputKind, least: Counts
) -> dict[tuple[int, str], _Cell] | None:
    """Return what is published for each group (index in ``rows``) and label.

    Return ``None`` if all sizes are withheld, but could be inferred from the total and the names of the groups.
    """
    patients = patients_of(part)
    targets = {name: part[f"target__{name}"].to_numpy(dtype=float) for name in names}
    known = {name: ~np.isnan(target) for name, target in targets.items()}

    def people(mask: NDArray[np.bool_]) -> Counts:
        return np.array([np.count_nonzero(np.bincount(patients[mask & own])) for own in rows])

    def records(mask: NDArray[np.bool_]) -> Counts:
        return np.array([int((mask & own).sum()) for own in rows])

    sizes = np.column_stack([people(np.ones(len(part), bool)), *(people(known[name]) for name in names)])
    hidden = withheld_groups(sizes, least)
    if hidden.all() and not is_open(sizes[:, 0], least):
        return None
    counts = {}
    for name in names if kind != "regression" else ():
        sick, well = known[name] & (targets[name] == 1), known[name] & (targets[name] == 0)
        counts[name] = ClassCounts(records(sick), records(well), people(sick), people(well))
    withheld, without = _withheld_positives(counts, hidden, kind)
    if kind == "regression":
        without = {name: narrow_sizes(sizes[:, k + 1], hidden, least) for k, name in enumerate(names)}
    cells = {}
    for k, name in enumerate(names):
        total, own = records(known[name]), sizes[:, k + 1]
        none_hidden = own[hidden].sum() == 0
        for g in range(len(rows)):
            size_hidden = bool(hidden[g] and not none_hidden)
            few = own[g] < SMALLEST if kind == "regression" else counts[name].fewest[g] < SMALLEST
            class_hidden = kind != "regression" and bool(withheld[name][g])
            secret = size_hidden or class_hidden
            measured = not few and not (secret and without[name])
            text = (
                (WITHHELD if without[name] and secret else TOO_FEW)
                if not measured
                else BY_SUBTRACTION
                if secret
                else ""
            )
            cells[g, name] = _Cell(
                None if size_hidden else int(total[g]),
                None if size_hidden else int(own[g]),
                None if class_hidden or kind == "regression" else int(counts[name].positives[g]),
                measured,
                not secret,
                text,
            )
    return cells


def _hidden(
    cells: dict[tuple[int, str], _Cell], groups: int, names: Sequence[str], kind: OutputKind
) -> dict[str, Mask]:
    """Return the masks (G,) of the groups whose sizes are withheld (key ``""``) and, by label, whose positives are."""
    sizes = [any(cells[g, n].records is None for n in names) for g in range(groups)]
    if kind == "regression":
        return {"": np.array(sizes)}
    positives = {n: np.array([cells[g, n].positives is None for g in range(groups)]) for n in names}
    return {"": np.array(sizes)} | positives


def _withheld_positives(
    counts: dict[str, ClassCounts], sizes: Mask, kind: OutputKind
) -> tuple[dict[str, Mask], dict[str, bool]]:
    """Return two dictionaries by label, which are empty for a regression.

    The first contains the mask (G,) of the groups whose numbers of positives are withheld. The second contains whether
    the metrics of groups with withheld numbers are withheld too.
    """
    masks = withheld_by_class(counts, sizes, exclusive=kind == "multiclass")
    if kind == "multiclass":
        closed = any(mask.any() for mask in masks.values()) and narrow_table(*class_table(counts), sizes)
        return masks, dict.fromkeys(counts, closed)
    return masks, {name: bool(m.any()) and narrow(counts[name], m, sizes) for name, m in masks.items()}


def _entry(
    column: str, group: str, name: str, cell: _Cell, measured: dict[str, Any] | None, kind: OutputKind
) -> dict[str, Any]:
    entry: dict[str, Any] = {"column": column, "group": group, "label": name}
    entry |= {"records": cell.records, "patients": cell.patients}
    if kind != "regression":
        entry["positives"] = cell.positives
    metrics = measured if cell.measured else None
    if not cell.rates and metrics is not None:
        # proportions such as the sensitivity could reveal a count; metrics with ``in_subgroups`` do not
        metrics = {m.name: metrics[m.name] for m in metrics_of(kind) if m.name in metrics}
    entry["metrics"] = metrics
    return entry | ({"withheld": cell.withheld} if cell.withheld else {})

"""Metrics by subgroup (sex, age, site, device or another column). Results of small groups are withheld.

Results of fewer than ten patients could identify a patient. If only one group is withheld, the next smallest group is
also withheld, because the size of the withheld group could otherwise be computed by subtraction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config.manifest import OutputKind
from ecgssl.evaluation.statistics.metrics import metrics_of

SMALLEST = 10
"""Minimum number of patients of a reported group, and of each class of a finding in it."""
MOST_GROUPS = 30
UNKNOWN = "unknown"
TOO_FEW = f"fewer than {SMALLEST}"
BY_SUBTRACTION = "withheld, as a small group could be worked out from it"
_BINS = 3

Measure = Callable[[pd.DataFrame], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class _Cell:
    """Numbers of recordings and patients of a label in a group. Only recordings with a known target are counted."""

    rows: NDArray[np.bool_]
    records: int
    patients: int
    positives: int
    fewest: int
    """Number of patients of the rarer class."""
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
        bands: lower bounds of the age bands in years, for the column ``age``.

    Returns:
        List of ``{"column", "group", "label", "records", "patients", "positives", "metrics"}``. Withheld or undefined
        values are ``None``, and ``withheld`` contains the reason. A column with too many groups has one entry without a
        group. A column without known values has no entry.
    """
    found: list[dict[str, Any]] = []
    for column in groups.columns:
        values = part["record_id"].map(groups[column])
        if column == "age":
            grouped = age_band(values, bands)
        else:
            grouped = _grouped(values)
        order = list(dict.fromkeys(sorted(grouped, key=_sort_key(grouped, values))))
        if order == [UNKNOWN]:
            continue
        if len(order) > MOST_GROUPS:
            found.append(
                {
                    "column": column,
                    "group": None,
                    "withheld": f"{len(order)} groups, at most {MOST_GROUPS} are reported",
                }
            )
            continue
        cells = {(g, n): _cell(part, (grouped == g).to_numpy(), n, kind) for g in order for n in names}
        for name in names:
            _withhold(cells, order, name)
        for group in order:
            shown = [n for n in names if cells[group, n].withheld in ("", BY_SUBTRACTION)]
            measured = measure(part[cells[group, names[0]].rows]) if shown else {}
            found += [_entry(column, group, n, cells[group, n], measured.get(n), kind) for n in names]
    return found


def age_band(years: pd.Series, bands: Sequence[float]) -> pd.Series:
    """Return the age band of each age, such as ``under 18``, ``18 to under 40``, ``75 and over`` or ``unknown``."""
    edges = [f"{b:g}" for b in bands]
    middle = [f"{a} to under {b}" for a, b in pairwise(edges)]
    names = np.array([f"under {edges[0]}", *middle, f"{edges[-1]} and over", UNKNOWN], dtype=object)
    age = pd.to_numeric(years, errors="coerce").to_numpy(dtype=float)
    index = np.where(np.isnan(age), len(names) - 1, np.searchsorted(np.asarray(bands), age, side="right"))
    return pd.Series(names[index], index=years.index)


def _grouped(values: pd.Series) -> pd.Series:
    """Return the group of each value. Columns with many distinct numbers are divided into tertiles."""
    numbers = pd.to_numeric(values, errors="coerce")
    numeric = bool(numbers.notna().sum() == values.notna().sum()) and bool(numbers.notna().any())
    if numeric and numbers.nunique() > SMALLEST:
        cuts = np.quantile(numbers.dropna(), np.linspace(0, 1, _BINS + 1))[1:-1]
        # round the boundaries, because an exact boundary would disclose the value of a recording
        return age_band(numbers, sorted({float(f"{cut:.2g}") for cut in cuts}))
    text = numbers.map(lambda v: f"{v:g}") if numeric else values.astype(str)
    blank = values.isna() | (values.astype(str).str.strip() == "")
    return text.where(~blank, UNKNOWN)


def _sort_key(grouped: pd.Series, values: pd.Series) -> Callable[[str], tuple[bool, float, str]]:
    """Return a sort key: numbers by size, text alphabetically, ``unknown`` last."""
    first = pd.to_numeric(values, errors="coerce").groupby(grouped).min()
    size = {str(name): float(value) if value == value else 0.0 for name, value in first.items()}
    return lambda name: (name == UNKNOWN, size.get(name, 0.0), name)


def _cell(part: pd.DataFrame, rows: NDArray[np.bool_], name: str, kind: OutputKind) -> _Cell:
    target = part[f"target__{name}"].to_numpy(dtype=float)
    patients = part["patient"].to_numpy().astype(str)
    known = rows & ~np.isnan(target)

    def count(mask: NDArray[np.bool_]) -> int:
        return len(np.unique(patients[mask]))

    positives = known & (target == 1)
    fewest = count(known) if kind == "regression" else min(count(positives), count(known & (target == 0)))
    return _Cell(rows, int(known.sum()), count(known), int(positives.sum()), fewest)


def _withhold(cells: dict[tuple[str, str], _Cell], order: list[str], name: str) -> None:
    """Withhold small groups, and the next smallest groups until no size of a small group can be inferred."""
    hidden = [g for g in order if cells[g, name].fewest < SMALLEST]
    for group in hidden:
        cells[group, name] = replace(cells[group, name], withheld=TOO_FEW)
    others = sorted((g for g in order if g not in hidden), key=lambda g: cells[g, name].fewest)
    while others and any(cells[g, name].patients for g in hidden):
        if len(hidden) > 1 and sum(cells[g, name].fewest for g in hidden) >= SMALLEST:
            break
        hidden.append(others.pop(0))
        cells[hidden[-1], name] = replace(cells[hidden[-1], name], withheld=BY_SUBTRACTION)


def _entry(
    column: str, group: str, name: str, cell: _Cell, measured: dict[str, Any] | None, kind: OutputKind
) -> dict[str, Any]:
    entry: dict[str, Any] = {"column": column, "group": group, "label": name}
    hidden = bool(cell.withheld)
    entry |= {"records": None if hidden else cell.records, "patients": None if hidden else cell.patients}
    if kind != "regression":
        entry["positives"] = None if hidden else cell.positives
    metrics = None if cell.withheld == TOO_FEW else measured
    if cell.withheld == BY_SUBTRACTION and metrics is not None:
        # proportions such as the sensitivity could reveal a count; metrics with ``in_subgroups`` do not
        metrics = {m.name: metrics[m.name] for m in metrics_of(kind) if m.name in metrics}
    entry["metrics"] = metrics
    return entry | ({"withheld": cell.withheld} if hidden else {})

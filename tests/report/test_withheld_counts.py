"""Withheld counts: none can be computed from all published tables of a report together, and rare names are absent.

An attacker knows every published count and total, that zero is published as zero, and what the presence or absence of
metrics says about a group. For each withheld count, integer programming finds the lowest and the highest possible value.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from ecgssl.evaluation.subgroups import BY_ANOTHER_COLUMN, OTHERS, TOO_FEW, UNKNOWN, subgroups
from ecgssl.report.people import people

COUNT = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 9, 10, 11, 14, 20, 40])
STATES = {
    "multilabel": list(product((np.nan, 0.0, 1.0), repeat=2)),
    "multiclass": [(np.nan, np.nan, np.nan), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
    "regression": [(np.nan,), (1.0,)],
}
EXAMPLES = int(os.environ.get("ECGSSL_EXAMPLES", "8"))
METRIC = {"multilabel": "auroc", "multiclass": "auroc", "regression": "mae"}


class Attack:
    """Integer unknowns ``x[cell, state]`` with the equations of the published figures.

    A cell is a combination of groups, one of each column. Combinations that no recording has are known to be empty.
    """

    def __init__(self, columns: list[str], cells: list[tuple[str, ...]], states: list[tuple[float, ...]]) -> None:
        self.columns, self.cells, self.states = columns, cells, states
        self.rows: list[np.ndarray] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def sum_of(
        self, column: str, group: set[str] | None, label: int | None = None, values: tuple[float, ...] = (0.0, 1.0)
    ) -> np.ndarray:
        """Return the row that adds the recordings of a group (``None``: all) with one of the values of a label."""
        place = self.columns.index(column)
        row = [
            float((group is None or cell[place] in group) and (label is None or state[label] in values))
            for cell in self.cells
            for state in self.states
        ]
        return np.array(row)

    def know(self, row: np.ndarray, low: float, high: float) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def possible(self, row: np.ndarray) -> tuple[int, int]:
        """Return the lowest and the highest possible value of a sum."""
        found = []
        for sign in (1, -1):
            constraints = LinearConstraint(np.array(self.rows), self.low, self.high)
            done = milp(sign * row, constraints=constraints, bounds=Bounds(0, 500), integrality=np.ones(len(row)))
            assert done.status == 0, done.message
            found.append(round(sign * done.fun))
        return found[0], found[1]


def cohort(kind: str, counts: list[list[int]]) -> pd.DataFrame:
    """Return one recording per patient: ``counts`` by group and state."""
    rows = [
        {"site": f"site{g}", "state": s}
        for g, row in enumerate(counts)
        for s, count in enumerate(row)
        for _ in range(count)
    ]
    table = pd.DataFrame(rows, columns=["site", "state"])
    table["record_id"] = [f"r{i}" for i in range(len(table))]
    table["patient"] = table["record_id"]
    table["split"] = "test"
    for label in range(len(STATES[kind][0])):
        table[f"target__{label}"] = [STATES[kind][s][label] for s in table["state"]]
    return table


def published(
    kind: str, table: pd.DataFrame, columns: list[str], evaluated: list[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return subgroups of the scored recordings by some of the columns, and people of all recordings, as in a report."""
    names = [c.removeprefix("target__") for c in table.columns.astype(str) if c.startswith("target__")]
    scored = table[table[[f"target__{n}" for n in names]].notna().any(axis=1)]

    def measure(rows: pd.DataFrame) -> dict[str, Any]:
        return {name: {METRIC[kind]: {"value": 0.5}, "recall": {"value": 0.5}} for name in names}

    found = subgroups(scored, table.set_index("record_id")[evaluated], names, kind, measure, [65])
    shown = table.drop(columns=[c for c in ("site", "device") if c not in columns], errors="ignore")
    return found, people(SimpleNamespace(index=shown), {"test": found})


def attack(
    kind: str, table: pd.DataFrame, found: list[dict[str, Any]], people_: dict[str, Any], columns: list[str]
) -> None:
    """Fail if a withheld count has one possible value."""
    rows = [entry for entry in found if entry["group"] is not None]
    listed = {c: {entry["value"]: entry["counts"][0] for entry in people_.get(c, [])} for c in columns}
    scored = {c: {e["group"] for e in rows if e["column"] == c} for c in columns}
    if not any(listed.values()) and not rows:
        return
    mine = {c: table[c].where(table[c].isin({*listed[c], *scored[c], UNKNOWN}), OTHERS) for c in columns}

    def members(column: str, group: str, named: Collection[str]) -> set[str]:
        """Return the values of a group; those of ``all others`` have no name in this table."""
        return {v for v in set(mine[column]) if v not in {*named, UNKNOWN} - {OTHERS}} if group == OTHERS else {group}

    known = Attack(columns, list(dict.fromkeys(zip(*mine.values(), strict=True))), STATES[kind])
    secrets = []
    known.know(known.sum_of(columns[0], None), len(table), len(table))
    for column in columns:
        shown = [count for count in listed[column].values() if count is not None]
        for value, count in listed[column].items():
            row = known.sum_of(column, members(column, value, listed[column]))
            if count is not None:
                known.know(row, count, count)
            else:
                known.know(row, 1 if shown else 0, np.inf)
                secrets.append((f"people {column} {value}", row))
        for named in (listed[column], scored[column]):
            for group in named:
                row = known.sum_of(column, members(column, group, named))
                known.know(row, 1 if group in (OTHERS, UNKNOWN) else 5, np.inf)
    for label in range(len(STATES[kind][0])):
        values = table[f"target__{label}"]
        known.know(known.sum_of(columns[0], None, label), values.notna().sum(), values.notna().sum())
        if kind != "regression":
            known.know(known.sum_of(columns[0], None, label, (1.0,)), (values == 1).sum(), (values == 1).sum())
    for entry in rows:
        column, label = entry["column"], int(entry["label"])
        group = members(column, entry["group"], scored[column])
        own = table.loc[mine[column].isin(group), f"target__{label}"]
        size, ones, zeros = (known.sum_of(column, group, label, v) for v in ((0.0, 1.0), (1.0,), (0.0,)))
        if entry["records"] is None:
            secrets.append((f"records {column} {entry['group']} {label}", size))
        else:
            assert entry["records"] == own.notna().sum()
            known.know(size, entry["records"], entry["records"])
        if kind == "regression":
            continue
        if entry["positives"] is None:
            secrets.append((f"positives {column} {entry['group']} {label}", ones))
        else:
            assert entry["positives"] == (own == 1).sum()
            known.know(ones, entry["positives"], entry["positives"])
        if entry["metrics"] is not None:
            known.know(ones, 10, np.inf)
            known.know(zeros, 10, np.inf)
        elif entry.get("withheld") == TOO_FEW:
            known.know(ones if (own == 1).sum() < 10 else zeros, 0, 9)
    for name, row in secrets:
        low, high = known.possible(row)
        assert low < high, (name, low, found, people_)


@pytest.mark.parametrize("kind", list(STATES))
@settings(max_examples=EXAMPLES, derandomize=True)
@given(data=st.data())
def test_no_withheld_count_can_be_computed(kind, data):
    sizes = st.lists(COUNT, min_size=len(STATES[kind]), max_size=len(STATES[kind]))
    counts = data.draw(st.lists(sizes, min_size=2, max_size=4))
    table = cohort(kind, counts)
    if not table.filter(like="target__").notna().any(axis=None):
        return
    attack(kind, table, *published(kind, table, ["site"], ["site"]), ["site"])


RELATED = {
    "copies under names in reverse order": {"site0": "z", "site1": "y", "site2": "x", "site3": "w"},
    "one group against all others": {"site0": "z", "site1": "y", "site2": "y", "site3": "y"},
    "groups in pairs": {"site0": "z", "site1": "z", "site2": "y", "site3": "y"},
    "a group without a name": {"site0": "", "site1": "y", "site2": "x", "site3": "w"},
}
"""Relations between two columns: device of each site."""


@pytest.mark.parametrize("relation", list(RELATED))
@settings(max_examples=max(EXAMPLES // 4, 2), derandomize=True)
@given(data=st.data())
def test_no_withheld_count_can_be_computed_from_a_related_column(relation, data):
    sizes = st.lists(COUNT, min_size=9, max_size=9)
    table = cohort("multilabel", data.draw(st.lists(sizes, min_size=3, max_size=4)))
    table["device"] = table["site"].map(RELATED[relation]).replace("", UNKNOWN)
    if not table.filter(like="target__").notna().any(axis=None):
        return
    columns = ["site", "device"]
    evaluated = data.draw(st.sampled_from([columns, ["device"]]))
    attack("multilabel", table, *published("multilabel", table, columns, evaluated), columns)


def listed(index: pd.DataFrame, column: str, found: dict[str, Any] | None = None, **more: Any) -> dict[str, list]:
    """Return the published counts of a column by value."""
    made = people(SimpleNamespace(index=index), found, **more)
    return {entry["value"]: entry["counts"] for entry in made.get(column, [])}


def index_of(**counts: list[int]) -> pd.DataFrame:
    """Return one recording per patient from the counts of each value in train, validation and test."""
    rows = [
        {"sex": value, "site": value, "device": value, "split": split}
        for value, row in counts.items()
        for split, count in zip(("train", "val", "test"), row, strict=True)
        for _ in range(count)
    ]
    table = pd.DataFrame(rows)
    return table.assign(patient=table.index.astype(str), record_id=table.index.astype(str), age=50.0)


def test_a_site_or_device_of_few_patients_is_not_named():
    index = index_of(north=[40, 20, 20], south=[30, 20, 20], clinicOfOne=[0, 0, 1], pairOfFour=[2, 1, 1])
    for column in ("site", "device"):
        found = listed(index, column)
        assert set(found) == {"north", "south", OTHERS}
        assert found[OTHERS][2] is None
        assert found["south"][2] is None or found["north"][2] is None
    table = index.assign(target__0=np.arange(len(index)) % 2.0)
    entries = subgroups(
        table, table.set_index("record_id")[["site", "device"]], ["0"], "multilabel", lambda _: {}, [65]
    )
    assert {entry["group"] for entry in entries} == {"north", "south", OTHERS}


def test_recordings_of_one_patient_do_not_make_a_name():
    index = index_of(north=[40, 20, 20], lonely=[0, 0, 12])
    index.loc[index["site"] == "lonely", "patient"] = "one"
    assert set(listed(index, "site")) == {"north", OTHERS}


def test_the_only_small_count_of_a_split_takes_another_with_it():
    """Of 30 women and 4 men in validation, the total of the split would give the men."""
    found = listed(index_of(female=[50, 30, 30], male=[60, 4, 20]), "sex")
    assert found == {"female": [50, None, 30], "male": [60, None, 20]}


def test_groups_withheld_in_the_subgroups_are_withheld_among_the_people():
    index = index_of(north=[40, 20, 20], south=[30, 20, 20], west=[30, 20, 30]).drop(columns=["sex", "device"])
    hidden = [{"column": "site", "group": g, "label": "0", "records": n} for g, n in (("north", None), ("south", None))]
    entries = [*hidden, {"column": "site", "group": "west", "label": "0", "records": 30}]
    found = listed(index, "site", {"test": entries})
    assert found == {"north": [40, 20, None], "south": [30, 20, None], "west": [30, 20, 30]}
    # with folds, the table of all recordings is published as split test
    found = listed(index, "site", {"test": entries}, as_one="folds")
    assert found == {"north": [None], "south": [None], "west": [80]}


def test_the_number_of_known_ages_does_not_give_the_unknown_ones():
    index = index_of(north=[40, 20, 20])
    index.loc[index.index[:3], "age"] = np.nan
    ages = people(SimpleNamespace(index=index))["age"]
    assert (ages["train"]["known"], ages["train"]["median"]) == (None, 50.0)
    assert ages["val"]["known"] == 20


def test_numbers_of_sites_are_names():
    index = index_of(**{f"{n}": [12, 12, 12] for n in range(1, 13)})
    entries = subgroups(
        index.assign(target__0=np.arange(len(index)) % 2.0), index.set_index("record_id")[["site"]], ["0"], "multilabel",
        lambda _: {}, [65],
    )  # fmt: skip
    assert {entry["group"] for entry in entries} == {f"{n}" for n in range(1, 13)}


def test_columns_with_equal_content_are_suppressed_equally():
    """With 4, 20, 20 and 20 patients, one group of 20 is withheld with the small one: the same in both columns."""
    index = index_of(a=[0, 0, 8], b=[0, 0, 20], c=[0, 0, 20], d=[0, 0, 20])
    index["device"] = index["site"].map(dict(zip("abcd", "zyxw", strict=True)))
    sites, devices = listed(index, "site"), listed(index, "device")
    assert [sites[name] for name in "abcd"] == [devices[name] for name in "zyxw"]
    assert sum(row == [None] for row in sites.values()) == 2


def test_a_column_that_shows_the_withheld_count_of_another_is_left_out():
    """Sites a and b are withheld. Device y is site b, so its count and the total of both would give the 8 of site a."""
    index = index_of(a=[0, 0, 8], b=[0, 0, 20], c=[0, 0, 40])
    index["device"] = np.where(index["site"] == "b", "y", "z")
    found = people(SimpleNamespace(index=index.drop(columns="sex")))
    assert {e["value"]: e["counts"] for e in found["site"]} == {"a": [None], "b": [None], "c": [40]}
    assert "device" not in found
    # a column is also left out if only the subgroups show the other one
    bands = [
        {"column": "age", "group": g, "label": "0", "records": n} for g, n in (("under 65", 20), ("65 and over", 48))
    ]
    old = index.assign(age=np.where(index["site"] == "b", 50.0, 70.0)).drop(columns=["sex", "device"])
    assert "site" not in people(SimpleNamespace(index=old), {"test": bands})
    table = index.assign(target__0=np.arange(len(index)) % 2.0)
    groups = table.set_index("record_id")[["site", "device"]]
    entries = subgroups(table, groups, ["0"], "multilabel", lambda _: {}, [65])
    assert [(e["group"], e["withheld"]) for e in entries if e["column"] == "device"] == [(None, BY_ANOTHER_COLUMN)]


def test_scored_recordings_are_a_lower_bound_of_the_people():
    """The subgroups show 10 scored recordings of the site. With the total of 11, they would give the other patient."""
    index = index_of(north=[0, 0, 10], lonely=[0, 0, 1]).drop(columns=["sex", "device"])
    entries = [{"column": "site", "group": "north", "label": "0", "records": 10}]
    assert "site" not in people(SimpleNamespace(index=index), {"test": entries})

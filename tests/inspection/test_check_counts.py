"""Page of a cohort check: no withheld count can be computed from the counts of all its tables together."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from ecgssl.evaluation.subgroups import OTHERS, UNKNOWN
from ecgssl.inspection.withheld_counts import for_page

EXAMPLES = int(os.environ.get("ECGSSL_EXAMPLES", "4"))
COUNT = st.sampled_from([1, 1, 2, 5, 9, 10, 11, 14, 20, 40])
ROW = st.tuples(
    st.sampled_from(["train", "val", "test"]),
    st.sampled_from(["female", "male", "male", "other", ""]),
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from([25.0, 45.0, 85.0, np.nan]),
    st.sampled_from([0.0, 0.0, 1.0, np.nan]),
    st.sampled_from([0.0, 1.0, 2.0, np.nan]),
    COUNT,
)
DEVICES = {"copy": {"a": "z", "b": "y", "c": "x", "": ""}, "union": {"a": "z", "b": "y", "c": "y", "": "y"}}
CLASSES = ("SR", "AF", "AVB")
SPLITS, SEXES = ("train", "val", "test"), ("female", "male", "other")


def cohort(rows: list[tuple[Any, ...]], relation: str = "copy", rate: str = "same") -> SimpleNamespace:
    """Return a checked cohort with one recording per patient, from rows of values with a count."""
    names = ("split", "sex", "site", "age", "target af", "target rhythm")
    table = pd.DataFrame([row[:-1] for row in rows for _ in range(row[-1])], columns=list(names))
    table["device"] = table["site"].map(DEVICES[relation])
    table["patient_id"] = [f"p{number}" for number in range(len(table))]
    table = table.assign(format="wfdb", rate=500.0, duration=10.0, leads_in_file=12.0)
    if rate == "by site":
        table["rate"] = np.where(table["site"] == "a", 250.0, 500.0)
    return SimpleNamespace(kept=table, described=lambda part: part, cohort=SimpleNamespace(targets=("af", "rhythm")))


def summary_of(checked: SimpleNamespace) -> dict[str, Any]:
    """Return the entries of the summary that are changed for the page, without anything withheld."""
    table = checked.kept
    groups = {name: table["split"] == name for name in SPLITS} | {name: table["sex"] == name for name in SEXES}
    groups = {name: where for name, where in groups.items() if where.any()}

    def share(cells: pd.Series) -> dict[str, int]:
        return {"known": int(cells.notna().sum()), "positive": int((cells == 1).sum())}

    def classes(cells: pd.Series) -> dict[str, int]:
        return {name: int((cells == code).sum()) for code, name in enumerate(CLASSES)}

    af, rhythm = table["target af"], table["target rhythm"]
    of_af = {group: share(af[where]) for group, where in groups.items()}
    of_rhythm = {group: classes(rhythm[where]) for group, where in groups.items()}
    known = int(rhythm.notna().sum())
    return {
        "ages": {"median": 50.0} if table["age"].notna().any() else {},
        "targets": [
            {"name": "af", "kind": "binary", **share(af), "groups": of_af},
            {"name": "rhythm", "kind": "multiclass", "by_class": classes(rhythm), "known": known, "groups": of_rhythm},
        ],
    }


class Attack:
    """Whole numbers of recordings of each occurring combination of values, and each value of one target."""

    def __init__(self, table: pd.DataFrame, target: str) -> None:
        self.table = table
        cells = table[["split", "sex", "site", "device", "rate", "age"]].drop_duplicates()
        states = [0.0, 1.0, np.nan] if target == "af" else [0.0, 1.0, 2.0, np.nan]
        self.unknown = cells.merge(pd.DataFrame({f"target {target}": states}), how="cross")
        self.rows: list[np.ndarray] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self.secrets: list[tuple[str, np.ndarray]] = []

    def see(self, name: str, count: int | None, where: Any, least: int = 0) -> None:
        """Learn a count (``None``: withheld) of the recordings for which ``where`` of a table is true."""
        row = np.asarray(where(self.unknown), dtype=float)
        if count is None:
            self.secrets.append((name, row))
        else:
            assert count == int(np.asarray(where(self.table)).sum()), name
        self.rows.append(row)
        self.low.append(least if count is None else count)
        self.high.append(np.inf if count is None else count)

    def fail_if_known(self) -> None:
        """Fail if a withheld count has one possible value."""
        constraints = LinearConstraint(np.array(self.rows), self.low, self.high)
        for name, row in self.secrets:
            ends = []
            for sign in (1, -1):
                done = milp(sign * row, constraints=constraints, bounds=Bounds(0, 500), integrality=np.ones(len(row)))
                assert done.status == 0, done.message
                ends.append(round(sign * done.fun))
            assert ends[0] < ends[1], (name, ends)


def members(table: pd.DataFrame, column: str, name: str, named: list[str]) -> pd.Series:
    """Return whether each row is in a group of a column; ``all others`` has the values without a name."""
    values = table[column]
    if name == UNKNOWN:
        return values == ""
    return ~values.isin([*named, ""]) if name == OTHERS else values == name


def see_ages(known: Attack, ages: dict[str, Any]) -> None:
    """Learn the counts of the age histogram."""
    ends = [(float(b.rstrip("+").split("-")[0]), float(b.split("-")[1]) if "-" in b else 200.0) for b in ages["bins"]]
    for series, counts in ages["counts"].items():
        sexes = {"recordings": [*SEXES, ""], "not stated": ["other", ""]}.get(series, [series])
        for (low, high), count in zip(ends, counts, strict=True):
            assert count == 0 or count >= 10
            known.see("age", count, lambda t, s=sexes, a=low, b=high: t["sex"].isin(s) & t["age"].between(a, b))


def see_target(known: Attack, target: dict[str, Any]) -> None:
    """Learn the counts of a target."""
    column, binary = f"target {target['name']}", target["kind"] == "binary"
    totals = {1.0: target["positive"]} if binary else dict(enumerate(target["by_class"].values()))
    known.see("known", target["known"], lambda t: t[column].notna())
    for code, total in totals.items():
        known.see("total", total, lambda t, v=code: t[column] == v)
    for group, values in target["groups"].items():
        place = "split" if group in SPLITS else "sex"
        cells = {1.0: values["positive"]} if binary else dict(enumerate(values.values()))
        if values.get("known") is not None:
            known.see("known", values["known"], lambda t, p=place, g=group: t[column].notna() & (t[p] == g))
        for code, count in cells.items():
            # a total of 0 is published
            if count is not None or totals[code]:
                name = f"{target['name']} {code} {group}"
                known.see(name, count, lambda t, v=code, p=place, g=group: (t[column] == v) & (t[p] == g))


def attack(checked: SimpleNamespace) -> dict[str, Any]:
    """Attack the page of a cohort and return its summary."""
    found = for_page(summary_of(checked), checked)
    for target in found["targets"]:
        attack_target(checked, found, target)
    return found


def attack_target(checked: SimpleNamespace, found: dict[str, Any], target: dict[str, Any]) -> None:
    """Attack the counts of patients and of one target."""
    known = Attack(checked.kept, target["name"])
    for column in ("split", "rate"):
        for value, count in checked.kept[column].value_counts().items():
            known.see(f"{column} {value}", int(count), lambda t, c=column, v=value: t[c] == v)
    for column, key in (("sex", "sexes"), ("site", "sites"), ("device", "devices")):
        named = [entry["value"] for entry in found[key]]
        for value, count in ((entry["value"], entry["count"]) for entry in found[key]):
            least = 1 if value in (OTHERS, UNKNOWN) else 5
            known.see(f"{column} {value}", count, lambda t, c=column, v=value, n=named: members(t, c, v, n), least)
    if found["ages"]:
        see_ages(known, found["ages"])
    see_target(known, target)
    known.fail_if_known()


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(st.lists(ROW, min_size=3, max_size=9), st.sampled_from(list(DEVICES)), st.sampled_from(["same", "by site"]))
def test_no_withheld_count_can_be_computed_from_the_page(rows, relation, rate):
    attack(cohort(rows, relation, rate))

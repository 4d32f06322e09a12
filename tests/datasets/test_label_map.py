"""Label maps: exact matches, equal codes, counts of unmapped codes, and sources of all table rows."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from ecgssl.datasets.public.known_defects import add_defects, known_defects
from ecgssl.datasets.public.label_map import LabelMap, equal_snomed_codes, package_table, read_label_map

TABLES = sorted(
    path.name for path in (files("ecgssl.datasets.public") / "tables").iterdir() if path.name.endswith(".csv")
)


def test_only_whole_codes_match():
    labelled = LabelMap({"SB": "bradycardia", "AFIB": "fibrillation"}, "test").apply(
        [["SB,TWC"], ["AF"], ["AFIB", "SB"]]
    )
    np.testing.assert_array_equal(labelled.matrix, [[0, 0], [0, 0], [1, 1]])
    assert labelled.unmapped == {"SB,TWC": 1, "AF": 1}


def test_no_statement_is_unknown_and_no_code_is_none_of_them():
    labelled = LabelMap({"1": "A", "2": "B"}, "test").apply([None, [], ["1", "1", "9", "9"]])
    np.testing.assert_array_equal(labelled.matrix, [[np.nan, np.nan], [0, 0], [1, 0]])
    assert labelled.unmapped == {"9": 1}
    assert labelled.notes() == [
        "1 recordings have no diagnosis code: their labels are unknown",
        "1 codes without a label (number of recordings): 9 (1)",
    ]


def test_equal_codes_share_a_label():
    names = LabelMap({"a": "A", "b": "B", "c": "C"}, "test").with_equals({"b": "a", "c": "x", "y": "z"})
    assert names.label_of == {"a": "A", "b": "A", "c": "C", "x": "C"}
    assert names.labels == ("A", "C")


def test_the_four_pairs_of_the_challenge():
    """Pairs of codes that the weights table of the Challenge treats as equal."""
    pairs = {frozenset(pair) for pair in equal_snomed_codes().items()}
    joined = "733534002|164909002 713427006|59118001 284470004|63593006 427172004|17338001"
    assert pairs == {frozenset(pair.split("|")) for pair in joined.split()}


@pytest.mark.parametrize("name", TABLES)
def test_every_fact_has_a_source(name):
    rows = package_table(name)
    assert rows
    assert all(row["source"].strip() for row in rows)
    assert all(None not in row and None not in row.values() for row in rows), "cells that do not fit the header"


def test_cpsc_numbers_and_codes_name_the_same_nine():
    names = read_label_map("cpsc2018.csv")
    assert names.labels == ("NORM", "AF", "IAVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    assert [names.label_of[str(number)] for number in range(1, 10)] == list(names.labels)
    assert len(names.label_of) == 18


def test_known_defects_name_each_recording_once():
    rows = package_table("known_defects.csv")
    assert len({(row["set"], row["record"]) for row in rows}) == len(rows)
    assert {row["action"] for row in rows} <= {"exclude", "flag"}
    found = known_defects("ecg_arrhythmia")
    assert {name for name, defect in found.items() if defect.action == "exclude"} == {"JS01052", "JS23074"}
    assert sum("no value" in defect.defect for defect in found.values()) == 87


def test_defects_reach_the_table():
    import pandas as pd

    table = pd.DataFrame({"record_id": ["JS00001", "JS01052", "JS10765"]})
    add_defects(table, known_defects("ecg_arrhythmia"), table["record_id"])
    assert list(table["defect_action"]) == ["", "exclude", "flag"]
    assert table["defect"].iloc[0] == ""

"""LUDB: a small release in the official layout, with line breaks in cells and one gain per lead."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from wfdb_files import noise, write_record

from ecgssl.config import QualityParams, SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.label_map import package_table
from ecgssl.datasets.public.ludb import LUDB
from ecgssl.errors import InputError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS, LIMB_MATRIX, limb_residual

LOWER = tuple(lead.lower() for lead in LEADS)
COLUMNS = (
    *("ID", "Sex", "Age", "Rhythms", "Electric axis of the heart", "Conduction abnormalities", "Extrasystolies"),
    *("Hypertrophies", "Cardiac pacing", "Ischemia", "Non-specific repolarization abnormalities", "Other states"),
)
AXIS = "Electric axis of the heart: "
ROWS = [
    (
        "1",
        "F\n",
        "51\n",
        "Sinus bradycardia\n",
        f"{AXIS}left axis deviation\n",
        "",
        "",
        "Left ventricular hypertrophy\n",
    ),
    ("2", "M\n", "64\n", "Atrial flutter, typical\nAberrant conduction\n", "", "Iii degree av-block\n"),
    (
        "34",
        "M\n",
        ">89\n",
        "Sinus rhythm\n",
        f"{AXIS}normal\n",
        "I degree AV block\nIncomplete right bundle branch block\n",
    ),
    ("4", "F\n", "17\n", "", f"{AXIS}vertical.\n", "", "Ventricular extrasystole, type: single PVC\nHiccup\n"),
]


def heart(samples=5000):
    """Return twelve leads in microvolts with different amplitudes that obey the limb-lead laws."""
    rng = np.random.default_rng(0)
    limbs = LIMB_MATRIX @ (rng.normal(size=(2, samples)) * [[200], [600]])
    return np.rint(np.concatenate([limbs, rng.normal(size=(6, samples)) * 400])).astype(np.int16)


def write_scaled(root, name):
    """Headers with one gain per lead, equal to its range, so that the lead spans 1 mV."""
    digital = heart()
    path = write_record(root / "data", name, digital, LOWER, gain="1(0)/mV")
    header = path.with_suffix(".hea")
    lines = header.read_text().splitlines()
    for place, row in enumerate(digital, 1):
        lines[place] = lines[place].replace(" 1(0)/mV ", f" {int(np.ptp(row.astype(int)))}(0)/mV ")
    header.write_text("\n".join([*lines, "#<age>: 51", "#<sex>: F", "#<diagnoses>:", "#Rhythm: Sinus rhythm."]) + "\n")


def write_table(root, rows):
    with (root / "ludb.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([*row, *[""] * (len(COLUMNS) - len(row))] for row in rows)


@pytest.fixture
def release(tmp_path):
    write_table(tmp_path, ROWS)
    for row in ROWS[:3]:
        write_scaled(tmp_path, row[0])
    write_record(tmp_path / "data", "4", noise(), LOWER)
    return tmp_path


def positive(cohort):
    return [{t for t in cohort.targets if row[t] == 1} for row in cohort.table.to_dict("records")]


def test_cells_with_line_breaks(release):
    cohort = load(SetParams(reader="ludb", root=release), "unused")
    table = cohort.table
    assert list(table["record_id"]) == ["ludb-1", "ludb-2", "ludb-34", "ludb-4"]
    assert list(table["path"]) == ["data/1", "data/2", "data/34", "data/4"]
    assert list(table["age"]) == [51, 64, 90, 17]
    assert list(table["sex"]) == ["female", "male", "male", "female"]
    assert positive(cohort) == [{"SB"}, {"AFL", "ABERRANT"}, {"SR"}, set()]
    assert table.loc[3, list(cohort.targets)].isna().all()
    assert any("1 codes without a label" in note and "hiccup (1)" in note for note in cohort.notes)
    assert read(release / "data/1").leads == LOWER


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("axis", [{"LAD"}, set(), {"AXIS_NORMAL"}, {"AXIS_VERTICAL"}]),
        ("conduction", [set(), {"AVB3"}, {"AVB1", "IRBBB"}, set()]),
        ("hypertrophy", [{"LVH"}, set(), set(), set()]),
        ("extrasystole", [set(), set(), set(), {"VPC"}]),
        ("findings", [{"SB", "LAD", "LVH"}, {"AFL", "ABERRANT", "AVB3"}, {"SR", "AXIS_NORMAL", "AVB1", "IRBBB"},
                      {"AXIS_VERTICAL", "VPC"}]),
    ],
)  # fmt: skip
def test_label_sets(release, labels, expected):
    cohort = LUDB(release, labels=labels).cohort()
    assert positive(cohort) == expected
    unknown = cohort.table[list(cohort.targets)].isna()
    assert unknown.loc[0].sum() == 0
    # an axis that is not stated is unknown, a block that is not stated is none
    assert unknown.loc[1].all() == (labels == "axis")
    np.testing.assert_array_equal(cohort.table["fold"], LUDB(release).cohort().table["fold"])


def test_gains_that_distort_the_leads_are_ignored_and_flagged(release):
    """Digital samples obey the limb-lead laws; the gains scale every lead to 1 mV."""
    cohort = LUDB(release).cohort()
    assert list(cohort.table["defect_action"]) == ["flag", "flag", "flag", ""]
    assert "a digital step of 1 uV is inferred" in cohort.table["defect"].iloc[0]
    assert any(note.startswith("3 recordings: the gains scale each lead") for note in cohort.notes)
    recording = read(release / "data/1")
    np.testing.assert_allclose(recording.signal, heart() / 1000, rtol=1e-5, atol=1e-6)
    assert recording.meta["flags"] == ("unit_inferred",)
    assert limb_residual(recording.signal[:6], LEADS[:6]) < 0.01
    # a stated unit keeps the gains
    scaled = read(release / "data/1", overrides=MetadataOverrides(unit="mV"))
    np.testing.assert_allclose(np.ptp(scaled.signal, axis=1), 1, atol=1e-3)
    assert limb_residual(scaled.signal[:6], LEADS[:6]) > QualityParams().limb_residual
    assert "flags" not in read(release / "data/4").meta


def test_what_is_wrong_is_named(release):
    (release / "data/2.hea").unlink()
    with pytest.raises(InputError, match=r"1 of 4 recordings are not under .*\(row 3\)"):
        LUDB(release).cohort()
    write_table(release, [("1",), ("1",), ("../3",)])
    with pytest.raises(InputError, match=r"ID: rows 2, 3, 4: not a unique number"):
        LUDB(release).cohort()


def test_table_of_findings():
    rows = package_table("ludb_findings.csv")
    assert {row["group"] for row in rows} | {"findings"} == set(LUDB.label_sets)
    codes = [row["code"].casefold() for row in rows]
    assert len(set(codes)) == len(codes)
    groups = {row["label"]: row["group"] for row in rows}
    assert all(groups[row["label"]] == row["group"] for row in rows)


def test_age_and_sex_may_be_absent(release):
    path = release / "ludb.csv"
    with path.open(newline="") as stream:
        rows = [[row[0], *row[3:]] for row in csv.reader(stream)]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    cohort = LUDB(release).cohort()
    assert "the table has no column Sex, Age: unknown for all recordings" in cohort.notes
    assert cohort.table["age"].isna().all()
    assert set(cohort.table["sex"]) == {""}

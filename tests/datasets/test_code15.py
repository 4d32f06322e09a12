"""CODE-15%: a small release in the official layout with its known special cases."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.code15 import CODE15
from ecgssl.errors import InputError
from ecgssl.io import read
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.leads import LEADS

HEADER = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
ROWS = [
    "1169160,38,True,40.16,False,False,False,False,False,False,523632,False,2.09,True,exams_part1.hdf5",
    "2873686,97,False,67.05,False,True,False,False,False,True,1724173,True,6.6,False,exams_part1.hdf5",
    "168405,81,True,79.6,False,False,False,False,False,False,51421,,,False,exams_part0.hdf5",
    "271011,45,True,69.7,True,False,False,False,False,False,1737282,,,False,exams_part0.hdf5",
    "384368,17,False,29.9,False,False,False,True,False,False,1737282,,,False,exams_part0.hdf5",
]
FILES = {0: [384368, 168405, 271011, 0], 1: [2873686, 1169160, 0]}
"""Order of the files, which differs from the table, with the row of zeros at the end."""
PARTS = ("part0", "part1")


def write_part(root, number, ids):
    rng = np.random.default_rng(number)
    tracings = rng.normal(size=(len(ids), 4096, 12)).astype(np.float32)
    tracings[:, :581] = tracings[:, -581:] = 0
    tracings[np.array(ids) == 0] = 0
    with h5py.File(root / f"exams_part{number}.hdf5", "w") as file:
        file["exam_id"], file["tracings"] = np.array(ids), tracings
    return tracings


@pytest.fixture
def release(tmp_path):
    (tmp_path / "exams.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    for number, ids in FILES.items():
        write_part(tmp_path, number, ids)
    return tmp_path


def test_table(release):
    cohort = load(SetParams(reader="code15", root=release, subsets=PARTS), "unused")
    table = cohort.table
    assert cohort.targets == ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
    assert list(table["record_id"]) == [f"code15-{row.split(',')[0]}" for row in ROWS]
    assert list(table["path"])[:3] == [
        "exams_part1.hdf5#1169160",
        "exams_part1.hdf5#2873686",
        "exams_part0.hdf5#168405",
    ]
    assert list(table["patient_id"]) == ["523632", "1724173", "51421", "1737282", "1737282"]
    assert list(table["age"]) == [38, 90, 81, 45, 17]
    assert list(table["sex"]) == ["male", "female", "male", "male", "female"]
    assert table["RBBB"].tolist() == [0, 1, 0, 0, 0]
    assert table["AF"].tolist() == [0, 1, 0, 0, 0]
    assert set(table["sampling_rate"]) == {400.0}
    assert set(table["units"]) == {"mV"}
    assert set(table["leads"]) == {";".join(LEADS)}
    assert table["fold"].iloc[3] == table["fold"].iloc[4]
    assert "5 of 345,779 recordings of 4 patients" in cohort.notes
    assert "1 recordings have none of the six labels and normal_ecg 0: they are not healthy controls" in cohort.notes
    assert "2 rows of zeros with exam_id 0 are not used" in cohort.notes


def test_every_exam_is_read_from_its_own_row(release):
    cohort = CODE15(release, subsets=PARTS).cohort()
    for item, exam in zip(recording_requests(cohort, 0, len(cohort)), cohort.table["record_id"], strict=True):
        number = int(exam.removeprefix("code15-"))
        part = next(part for part, ids in FILES.items() if number in ids)
        recording = read(item.path, overrides=item.overrides)
        with h5py.File(release / f"exams_part{part}.hdf5") as file:
            tracing = file["tracings"][FILES[part].index(number)]
        # without the zeros that fill it up
        np.testing.assert_array_equal(recording.signal, tracing[581:-581].T)
        assert (recording.sampling_rate, recording.leads) == (400.0, LEADS)


def test_label_sets(release):
    normal = CODE15(release, labels="six_normal", subsets=PARTS).cohort()
    assert normal.targets[-1] == "normal_ecg"
    assert normal.table["normal_ecg"].tolist() == [1, 0, 0, 0, 0]
    death = CODE15(release, labels="death", subsets=PARTS).cohort()
    np.testing.assert_array_equal(death.table["death"], [0, 1, np.nan, np.nan, np.nan])
    assert "3 recordings without follow-up: death is unknown" in death.notes


def test_parts(release):
    cohort = CODE15(release, subsets=["part1"]).cohort()
    whole = CODE15(release, subsets=PARTS).cohort()
    assert list(cohort.table["fold"]) == list(whole.table["fold"])[:2]
    assert "3 exams are in parts that sets.NAME.subsets does not contain" in cohort.notes
    with pytest.raises(InputError, match=r"part2, part3, .*or set sets\.NAME\.subsets to \['part0', 'part1'\]"):
        CODE15(release).cohort()
    with pytest.raises(InputError, match="not a subset of code15"):
        CODE15(release, subsets=["part18"])


def test_files_that_do_not_belong_to_the_table(release):
    write_part(release, 0, [384368, 5, 271011, 0])
    (release / "exams_part1.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError) as caught:
        CODE15(release, subsets=PARTS).cohort()
    text = str(caught.value)
    assert "exams_part0.hdf5: exam_id: contains 2 of the 3 exams" in text
    assert "exams_part1.hdf5: file: cannot be read" in text
    write_part(release, 0, [384368, 168405, 5, 271011, 0])
    write_part(release, 1, FILES[1])
    notes = CODE15(release, subsets=PARTS).cohort().notes
    assert "1 exams of the files are not in exams.csv and not used" in notes


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("168405,81,True", "168405,81,perhaps", "is_male"),
        ("2873686,97", "1169160,97", "exam_id"),
        ("168405,81", "abc,81", "exam_id"),
        (",523632,", ",,", "patient_id"),
        (",False,2.09", ",maybe,2.09", "death"),
        ("1724173,True,6.6,False", "1724173,True,6.6,", "normal_ecg"),
    ],
)
def test_cells_that_cannot_be_read_are_named(release, old, new, column):
    table = release / "exams.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"{column}: rows? \d.*: not usable"):
        CODE15(release, subsets=PARTS).cohort()


def test_age_and_sex_may_be_absent(release):
    path = release / "exams.csv"
    path.write_text("\n".join(",".join(line.split(",")[:1] + line.split(",")[3:]) for line in [HEADER, *ROWS]) + "\n")
    cohort = CODE15(release, subsets=PARTS).cohort()
    assert "the table has no column age, is_male: unknown for all recordings" in cohort.notes
    assert cohort.table["age"].isna().all()
    assert set(cohort.table["sex"]) == {""}
    assert cohort.table["RBBB"].tolist() == [0, 1, 0, 0, 0]

"""EchoNext: a small generated release in the official layout; the licence does not permit an excerpt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.echonext import COMPOSITE, EchoNext
from ecgssl.datasets.public.label_map import package_table
from ecgssl.errors import InputError, RecordingError
from ecgssl.io import read
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.leads import LEADS

SPLITS = ["train", "no_split", "train", "test", "val", "no_split", "train"]
"""Split of each row; rows of a split are not contiguous."""


@pytest.fixture
def metadata():
    table = pd.DataFrame(
        {
            "ecg_key": [f"k{i}" for i in range(7)],
            "patient_key": ["p0", "p3", "p0", "p3", "p4", "p4", "p6"],
            "split": SPLITS,
            "age_at_ecg": [54, 60, 55, 90, 18, 17, 89],
            "sex": ["male", "female", "male", "female", "female", "female", "male"],
            "location_setting": "Inpatient",
        }
    )
    for row in package_table("echonext_flags.csv"):
        table[row["flag"]] = 0
        for column in filter(None, row["measurements"].split(";")):
            table[column] = "none"
    table.loc[[0, 2], ["lvef_lte_45_flag", COMPOSITE]] = 1
    table.loc[3, "lvef_value"] = ""
    table.loc[[4, 6], "ivs_measurement"] = ""
    return table


def waveforms(split, count):
    return np.random.default_rng(len(split)).normal(size=(count, 1, 2500, 12)).astype(np.float32)


def write(root, table):
    table.to_csv(root / "echonext_metadata_100k.csv")
    for split in ("train", "val", "test", "no_split"):
        count = int((table["split"] == split).sum())
        np.save(root / f"EchoNext_{split}_waveforms.npy", waveforms(split, count))
    return root


@pytest.fixture
def release(tmp_path, metadata):
    return write(tmp_path, metadata)


def test_conversion_to_millivolts_is_refused(release):
    with pytest.raises(InputError) as caught:
        load(SetParams(reader="echonext", root=release), "unused")
    (problem,) = caught.value.problems
    assert problem.field == "sets.NAME.standardised_as_mv"
    assert "z-scores" in problem.what
    assert "cannot be converted to mV" in problem.what
    assert "Set it to true" in problem.remedy


def test_rows_of_the_arrays_and_no_split(release):
    cohort = load(SetParams(reader="echonext", root=release, standardised_as_mv=True), "unused")
    table = cohort.table.set_index("record_id")
    assert list(table.index) == ["echonext-k0", "echonext-k2", "echonext-k3", "echonext-k4", "echonext-k6"]
    assert list(table["path"]) == [
        *("EchoNext_train_waveforms.npy#0", "EchoNext_train_waveforms.npy#1", "EchoNext_test_waveforms.npy#0"),
        *("EchoNext_val_waveforms.npy#0", "EchoNext_train_waveforms.npy#2"),
    ]
    assert list(table["split"]) == ["train", "train", "test", "val", "train"]
    assert list(table["age"]) == [54, 55, 90, 18, 89]
    assert cohort.targets == (COMPOSITE,)
    assert table[COMPOSITE].tolist() == [1, 1, 0, 0, 0]
    assert set(table["sampling_rate"]) == {250.0}
    assert set(table["defect_action"]) == {"flag"}
    assert any(note.startswith("2 recordings without a split in the release are not used") for note in cohort.notes)
    assert any("z-scores" in note for note in cohort.notes)


def test_every_row_is_read_and_never_as_millivolts_unless_accepted(release):
    cohort = EchoNext(release, standardised_as_mv=True).cohort()
    items = recording_requests(cohort, 0, len(cohort))
    for item, row in zip(items, (0, 1, 0, 0, 2), strict=True):
        split = item.path.split("_")[-2]
        recording = read(item.path, overrides=item.overrides)
        np.testing.assert_array_equal(recording.signal, waveforms(split, row + 1)[row, 0].T)
        assert (recording.sampling_rate, recording.leads) == (250.0, LEADS)
        assert (item.defect, item.excluded) == ("the samples are z-scores; a z-score of 1 is read as 1 mV", False)
    with pytest.raises(RecordingError) as caught:
        read(items[0].path, overrides=replace(items[0].overrides, unit="z"))
    assert caught.value.reason == "unit"


def test_a_zero_that_was_not_measured(release):
    measured = EchoNext(release, labels="measured", standardised_as_mv=True).cohort()
    released = EchoNext(release, labels="released", standardised_as_mv=True).cohort()
    assert measured.targets == released.targets
    assert len(measured.targets) == 12
    np.testing.assert_array_equal(released.table["lvef_lte_45_flag"], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(measured.table["lvef_lte_45_flag"], [1, 1, np.nan, 0, 0])
    np.testing.assert_array_equal(measured.table["lvwt_gte_13_flag"], [0, 0, 0, np.nan, np.nan])
    np.testing.assert_array_equal(measured.table[COMPOSITE], released.table[COMPOSITE])


@pytest.mark.parametrize(
    ("column", "row", "cell", "message"),
    [
        ("ecg_key", 0, "k1", "ecg_key: rows 2, 3: not usable"),
        ("split", 0, "training", "split: row 2: not usable"),
        ("lvef_lte_45_flag", 4, "2", "lvef_lte_45_flag: row 6: not usable"),
        ("patient_key", 6, "", "patient_key: row 8: not usable"),
        ("patient_key", 6, "p4", "1 patients are in more than one of train, val, test"),
    ],
)
def test_tables_that_are_not_the_release(tmp_path, metadata, column, row, cell, message):
    metadata[column] = metadata[column].astype(str)
    metadata.loc[row, column] = cell
    with pytest.raises(InputError, match=message):
        EchoNext(write(tmp_path, metadata), standardised_as_mv=True).cohort()


def test_arrays_that_do_not_belong_to_the_table(release):
    np.save(release / "EchoNext_train_waveforms.npy", np.zeros((2, 1, 2500, 12), np.float32))
    (release / "EchoNext_val_waveforms.npy").unlink()
    (release / "EchoNext_test_waveforms.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError) as caught:
        EchoNext(release, standardised_as_mv=True).cohort()
    assert [problem.field for problem in caught.value.problems] == ["shape", "file", "file"]
    assert "is (2, 1, 2500, 12), but the table requires (3, 1, 2500, 12)" in str(caught.value)


def test_an_array_of_objects_is_not_unpickled(release):
    np.save(release / "EchoNext_val_waveforms.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is not a valid array"):
        EchoNext(release, standardised_as_mv=True).cohort()


def test_age_and_sex_may_be_absent(tmp_path, metadata):
    root = write(tmp_path, metadata.drop(columns=["age_at_ecg", "sex"]))
    cohort = EchoNext(root, standardised_as_mv=True).cohort()
    assert "the table has no column age_at_ecg, sex: unknown for all recordings" in cohort.notes
    assert cohort.table["age"].isna().all()
    assert cohort.table[COMPOSITE].sum() == 2

"""SPH: a small release in the official layout, and the real excerpt in this layout."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.sph import SPH
from ecgssl.errors import InputError
from ecgssl.io import read
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.leads import limb_residual

CODES = """Category,Code,Description
A,1,Normal ECG
C,22,Sinus bradycardia
C,23,Sinus arrhythmia
D,31,"Atrial premature complexes, nonconducted"
F,60,Ventricular premature complex(es)
I,106,Right bundle-branch block
L,147,T-wave abnormality
Modifier,310,Frequent
"""
ROWS = """ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date
A00001,22;23,S00001,55,M,5000,2020-03-04
A02322,1;1,S00002,32,F,5000,2019-09-03
A00003,60+310;147,S00002,95,F,5000,2020-07-16
A00004,31,S00004,31,M,5000,2020-07-14
A00005,310;999,S00005,18,M,5000,2020-07-14
A00006,,S00006,18,X,5000,2020-07-14
"""


@pytest.fixture
def release(tmp_path):
    (tmp_path / "code.csv").write_text(CODES)
    (tmp_path / "metadata.csv").write_text(ROWS)
    (tmp_path / "records").mkdir()
    for row in csv.DictReader(ROWS.splitlines()):
        with h5py.File(tmp_path / f"records/{row['ECG_ID']}.h5", "w") as file:
            file["ecg"] = np.random.default_rng(0).normal(size=(12, int(row["N"]))).astype(np.float16)
    return tmp_path


def test_statements(release):
    cohort = load(SetParams(reader="sph", root=release), "unused")
    table = cohort.table.set_index("record_id")
    assert len(cohort.targets) == 7
    positive = {name: {t for t in cohort.targets if table.loc[name, t] == 1} for name in table.index}
    assert positive["sph-A00001"] == {"Sinus bradycardia", "Sinus arrhythmia"}
    assert positive["sph-A02322"] == {"Normal ECG"}
    assert positive["sph-A00003"] == {"Ventricular premature complex(es)", "T-wave abnormality"}
    assert positive["sph-A00004"] == {"Atrial premature complexes, nonconducted"}
    # a modifier in the place of a statement, and a code that is in no table, are no labels
    assert positive["sph-A00005"] == set()
    assert table.loc["sph-A00006", list(cohort.targets)].isna().all()
    assert any("2 codes without a label" in note and "310 (1)" in note and "999 (1)" in note for note in cohort.notes)
    assert list(table["path"])[:2] == ["records/A00001.h5", "records/A02322.h5"]
    assert list(table["age"]) == [55, 32, 90, 31, 18, 18]
    assert list(table["sex"]) == ["male", "female", "female", "male", "male", ""]
    assert table["acq_time"].iloc[0] == "2020-03-04"
    assert table["fold"].iloc[1] == table["fold"].iloc[2]
    assert set(table["units"]) == {"mV"}
    assert set(table["sampling_rate"]) == {500}
    assert "6 of 25,770 recordings of 5 patients" in cohort.notes


def test_abnormal(release):
    cohort = SPH(release, labels="abnormal").cohort()
    np.testing.assert_array_equal(cohort.table["abnormal"], [1, 0, 1, 1, 1, np.nan])
    np.testing.assert_array_equal(cohort.table["fold"], SPH(release).cohort().table["fold"])


def test_files_and_rows_that_do_not_match(release):
    (release / "records/A00004.h5").rename(release / "records/A09999.h5")
    metadata = release / "metadata.csv"
    metadata.write_text(ROWS.replace("A02322", "A00001").replace("S00004", ""))
    with pytest.raises(InputError) as caught:
        SPH(release).cohort()
    text = str(caught.value)
    assert "ECG_ID: rows 2, 3: not a unique name" in text
    assert "ECG_ID: row 5: no such file" in text
    assert "Patient_ID: row 5: empty" in text
    metadata.write_text("\n".join(line for line in ROWS.splitlines() if "A00004" not in line))
    assert "1 files in records are not in metadata.csv and not used" in SPH(release).cohort().notes


def test_records_that_are_not_unpacked(release):
    (release / "records").rename(release / "elsewhere")
    (release / "records.tar.gz").touch()
    with pytest.raises(InputError, match=r"uncompressed tar file despite its name: tar -xf records\.tar\.gz"):
        SPH(release).cohort()


@pytest.mark.parametrize("wrong", [CODES.replace("1,Normal", "2,Normal"), CODES.replace("C,23", "C,22"), "Code\n1\n"])
def test_a_code_table_that_is_not_the_release(release, wrong):
    (release / "code.csv").write_text(wrong)
    with pytest.raises(InputError, match=r"code\.csv"):
        SPH(release).cohort()


@pytest.fixture
def excerpt(real_data, tmp_path):
    """A table that lists files instead of recordings, and lacks one of ten recordings."""
    folder = real_data / "cinc2021/SPH"
    (tmp_path / "records").mkdir()
    for path in folder.glob("*.h5"):
        (tmp_path / "records" / path.name).symlink_to(path)
    (tmp_path / "metadata.csv").write_text((folder / "metadata.csv").read_text().replace(".h5", ""))
    (tmp_path / "code.csv").write_text(CODES)
    return tmp_path


@pytest.mark.real
def test_real_excerpt(excerpt):
    cohort = SPH(excerpt).cohort()
    table = cohort.table.set_index("record_id")
    assert len(table) == 9
    assert "1 files in records are not in metadata.csv and not used" in cohort.notes
    assert table["Normal ECG"].sum() == 6
    assert table.loc["sph-SPH00007", "Right bundle-branch block"] == 1
    for item in recording_requests(cohort, 0, len(cohort)):
        recording = read(item.path, overrides=item.overrides)
        assert recording.signal.shape[0] == 12
        assert recording.sampling_rate == 500
        assert 0.3 < np.abs(recording.signal).max() < 10
        assert limb_residual(recording.signal) < 0.05


def test_age_sex_and_date_may_be_absent(release):
    path = release / "metadata.csv"
    path.write_text("\n".join(",".join(line.split(",")[:3]) for line in ROWS.splitlines()) + "\n")
    cohort = SPH(release).cohort()
    assert "the table has no column Age, Sex, Date: unknown for all recordings" in cohort.notes
    assert cohort.table["age"].isna().all()
    assert set(cohort.table["sex"]) == {""}
    assert cohort.table["Normal ECG"].sum() == 1

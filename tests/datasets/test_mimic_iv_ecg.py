"""MIMIC-IV-ECG: a small release with its known special cases, with and without the optional tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from wfdb_files import noise, write_record

from ecgssl.config import SetParams
from ecgssl.datasets.folds import hashed_folds
from ecgssl.datasets.load import load
from ecgssl.datasets.public import mimic_iv_ecg, release_counts
from ecgssl.datasets.public.mimic_iv_ecg import MIMICIVECG
from ecgssl.datasets.public.mimic_labels import UNITS
from ecgssl.errors import InputError, RecordingError
from ecgssl.io import read

LEADS_AS_STORED = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
RECORDS = [(10_000_032 + i // 3, 40_689_238 + 7 * i) for i in range(60)]
"""Patient and study of three recordings for each of twenty patients."""


@pytest.fixture
def release(tmp_path):
    rows = ["subject_id,study_id,file_name,ecg_time,path"]
    for number, (subject, study) in enumerate(RECORDS):
        folder = f"files/p{str(subject)[:4]}/p{subject}/s{study}"
        rows.append(f"{subject},{study},{study},2180-07-23 08:44:00,{folder}/{study}")
        digital = noise(samples=5000, seed=number) // 8
        digital[4, :100] = -32768
        comments = f"# <subject_id>: {subject}\n"
        # three whole recordings are enough
        if number < 3:
            write_record(tmp_path / folder, str(study), digital, LEADS_AS_STORED, gain="200.0(0)/mV", comments=comments)
        else:
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / f"{study}.hea").touch()
    (tmp_path / "record_list.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def add_measurements(root, studies, change=None):
    """Rows in another order than the recordings, with reports that contain commas and codes for "not measurable"."""
    frame = pd.DataFrame(
        {
            "subject_id": 1,
            "study_id": studies,
            "cart_id": 6848296,
            "report_0": 'Sinus rhythm, "normal"',
            **{name: np.arange(len(studies)) + place for place, name in enumerate(UNITS)},
        }
    )
    frame.loc[0, ["p_onset", "p_end"]] = 29999
    frame.loc[1, ["p_axis", "t_axis", "rr_interval"]] = [32767, -32768, 65535]
    if change is not None:
        frame = change(frame)
    frame.to_csv(root / "machine_measurements.csv", index=False)


def add_diagnoses(root, change=None):
    """Table of Ext-ICD in another order, with an unlinked recording, a code that contains I48, and a padded code."""
    lists = ["['I10', 'I4891']", "[]", "['A48I48', 'W19XXXA', 'I2510']"]
    frame = pd.DataFrame(
        {
            "file_name": "f",
            "study_id": [study for _, study in RECORDS],
            "subject_id": [subject for subject, _ in RECORDS],
            "all_diag_all": [lists[i % 3] for i in range(len(RECORDS))],
            "gender": [("M", "F", "missing")[i % 3] for i in range(len(RECORDS))],
            "age": [(67.0, 101.0, np.nan)[i % 3] for i in range(len(RECORDS))],
            "fold": [i // 3 for i in range(len(RECORDS))],
        }
    )
    if change is not None:
        frame = change(frame)
    frame.iloc[::-1].to_csv(root / "records_w_diag_icd10.csv", index=False)


def test_recordings_without_targets(release):
    cohort = load(SetParams(reader="mimic_iv_ecg", root=release), "unused")
    table = cohort.table
    assert cohort.targets == ()
    assert len(table) == 60
    assert table["record_id"].iloc[0] == "mimic_iv_ecg-40689238"
    assert table["path"].iloc[0] == "files/p1000/p10000032/s40689238/40689238"
    assert list(table["patient_id"].iloc[:4]) == ["10000032"] * 3 + ["10000033"]
    assert cohort.notes[0] == "60 of 800,035 recordings"
    assert "LICENSE file of your copy" in cohort.licence
    assert table.groupby("patient_id")["fold"].nunique().max() == 1
    expected = hashed_folds(table["patient_id"].tolist(), "mimic_iv_ecg", 20)
    np.testing.assert_array_equal(table["fold"], expected)
    assert {(f, s) for f, s in zip(expected, table["split"], strict=True)} == {
        (f, {18: "val", 19: "test"}.get(f, "train")) for f in set(expected)
    }


def test_any_part_keeps_its_folds(release):
    whole = MIMICIVECG(release).cohort().table.set_index("record_id")
    path = release / "record_list.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[31:7:-1]]))
    part = MIMICIVECG(release).cohort().table.set_index("record_id")
    assert part["split"].to_dict() == whole.loc[part.index, "split"].to_dict()


def test_leads_go_by_name_and_the_patient_stays_out(release):
    recording = read(release / MIMICIVECG(release).cohort().table["path"].iloc[0])
    assert recording.leads == LEADS_AS_STORED
    np.testing.assert_allclose(recording.signal[5], (noise(samples=5000) // 8)[5] / 200, atol=1e-6)
    assert np.isnan(recording.signal[4, :100]).all()
    assert "10000032" not in repr(recording.meta)


def test_partial_downloads_are_refused(release):
    """A truncated copy of 65,536 bytes, as after an interrupted transfer."""
    path = release / MIMICIVECG(release).cohort().table["path"].iloc[1]
    data = path.with_suffix(".dat").read_bytes()
    assert len(data) == 120_000
    path.with_suffix(".dat").write_bytes(data[:65_536])
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert caught.value.reason == "truncated"


def test_measurements_are_joined_by_study(release):
    studies = [study for _, study in RECORDS][::-1][:-2]
    add_measurements(release, studies)
    cohort = MIMICIVECG(release, labels="measurements").cohort()
    assert cohort.targets == tuple(UNITS)
    assert {cohort.kind(name).kind for name in cohort.targets} == {"regression"}
    assert cohort.kind("p_axis").unit == "degrees"
    table = cohort.table.set_index("record_id")
    # the last recording is the table's first row, the last but one its second
    last, second = (table.loc[f"mimic_iv_ecg-{study}"] for study in studies[:2])
    assert np.isnan(last[["p_onset", "p_end"]].astype(float)).all()
    assert last["rr_interval"] == 0
    assert np.isnan(second[["p_axis", "t_axis", "rr_interval"]].astype(float)).all()
    assert second["qrs_axis"] == 1 + list(UNITS).index("qrs_axis")
    place = len(studies) - 1
    assert table["qrs_onset"].iloc[2] == place + list(UNITS).index("qrs_onset")
    assert table[list(UNITS)].iloc[:2].isna().all().all()
    assert "5 cells with a code for 'not measurable' (29999, 32767, -32768, 65535) are unknown" in cohort.notes
    assert any("has no row for 2 recordings" in note for note in cohort.notes)
    assert not any("Sinus" in str(cell) for cell in table.to_numpy().ravel())


def test_measurements_that_cannot_be_used(release):
    studies = [study for _, study in RECORDS]
    with pytest.raises(InputError, match=r"machine_measurements\.csv: file: does not exist"):
        MIMICIVECG(release, labels="measurements").cohort()
    add_measurements(release, studies, lambda frame: frame.assign(study_id=[studies[0], *studies[:-1]]))
    with pytest.raises(InputError, match="rows 2, 3: not a number, or listed more than once"):
        MIMICIVECG(release, labels="measurements").cohort()
    add_measurements(release, studies, lambda frame: frame.assign(qrs_end=["x", *frame["qrs_end"][1:]]))
    with pytest.raises(InputError, match="row 2: not a number"):
        MIMICIVECG(release, labels="measurements").cohort()


def test_diagnoses(release):
    add_diagnoses(release)
    cohort = MIMICIVECG(release, labels="icd10").cohort()
    table = cohort.table
    assert {t for t in cohort.targets if table[t].iloc[0] == 1} == {"I10", "I48"}
    assert table[list(cohort.targets)].iloc[1].isna().all()
    assert {t for t in cohort.targets if table[t].iloc[2] == 1} == {"I25"}
    assert not table[list(cohort.targets)].iloc[2].isna().any()
    np.testing.assert_array_equal(table["age"].iloc[:3], [67, 90, np.nan])
    assert list(table["sex"].iloc[:3]) == ["male", "female", ""]
    assert any(note.startswith("20 recordings without a linked diagnosis") for note in cohort.notes)


def test_published_folds_serve_every_label_set(release):
    add_diagnoses(release)
    for labels in ("none", "icd10"):
        table = MIMICIVECG(release, labels=labels).cohort().table
        np.testing.assert_array_equal(table["fold"], np.repeat(np.arange(20), 3))
        assert list(table["split"].iloc[-6:]) == ["val"] * 3 + ["test"] * 3
        assert set(table["split"].iloc[:-6]) == {"train"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(fold=[7, *f["fold"][1:]]), "1 patients are in more than one fold"),
        (lambda f: f.assign(fold=[20, *f["fold"][1:]]), r"fold: row 61: not a whole number from 0 to 19"),
        (lambda f: f.iloc[1:], "has no row for 1 of 60 recordings"),
        (lambda f: f.assign(all_diag_all="I10"), "60 cells are not lists of codes"),
        (lambda f: f.assign(all_diag_all=np.nan), "60 cells are not lists of codes"),
        (lambda f: f.drop(columns="fold"), r"lacks the columns \['fold'\]"),
    ],
)
def test_diagnoses_that_cannot_be_used(release, change, message):
    add_diagnoses(release, change)
    with pytest.raises(InputError, match=message):
        MIMICIVECG(release, labels="icd10").cohort()


def test_age_and_gender_may_be_absent(release):
    add_diagnoses(release, lambda f: f.drop(columns=["age", "gender"]))
    cohort = MIMICIVECG(release, labels="icd10").cohort()
    assert "the table has no column age, gender: unknown for all recordings" in cohort.notes
    assert cohort.table["age"].isna().all()
    assert set(cohort.table["sex"]) == {""}
    np.testing.assert_array_equal(cohort.table["fold"], np.repeat(np.arange(20), 3))


def test_diagnoses_need_their_file(release):
    with pytest.raises(InputError, match=r"records_w_diag_icd10\.csv: file: does not exist"):
        MIMICIVECG(release, labels="icd10").cohort()


def test_what_is_wrong_is_named_at_once(release):
    path = release / "record_list.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("40689252,", "40689245,", 1)
    lines[5] = lines[5].replace("10000033", "x0000033", 1)
    lines[7] = lines[7].replace("files/", "../files/")
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        MIMICIVECG(release).cohort()
    problems = {problem.field: problem.what for problem in caught.value.problems}
    assert problems["study_id"] == "rows 3, 4: not a whole number, or listed more than once"
    assert problems["subject_id"] == "row 6: not a whole number"
    assert "row 8" in problems["recordings"]


def test_recordings_are_looked_for(release, monkeypatch):
    monkeypatch.setattr(mimic_iv_ecg, "_LOOKED_FOR", 10)
    assert any("were checked" in note for note in MIMICIVECG(release).cohort().notes)
    for path in sorted(release.rglob("*.hea"))[:30]:
        path.unlink()
    with pytest.raises(InputError, match="5 of 10 checked recordings are not under"):
        MIMICIVECG(release).cohort()


def test_counts_of_the_whole_release_are_asserted(release, monkeypatch):
    rows = [{"set": "mimic_iv_ecg", "labels": "", "counted": "recordings", "count": "60"}]
    rows += [{"set": "mimic_iv_ecg", "labels": "", "counted": "patients", "count": "21"}]
    monkeypatch.setattr(release_counts, "package_table", lambda _: rows)
    with pytest.raises(InputError, match=r"patients 20 \(21\)"):
        MIMICIVECG(release).cohort()

"""PTB: a small release in the official layout with repeated patients, and the real record."""

from __future__ import annotations

import numpy as np
import pytest
from wfdb_files import noise, write_record

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.ptb import PTB
from ecgssl.errors import InputError
from ecgssl.io import read
from ecgssl.signal.leads import LEADS

LOWER = tuple(lead.lower() for lead in LEADS)
FRANK = ("vx", "vy", "vz")


def write_ptb(root, patient, name, reason, *, age="81", sex="female"):
    """A record with twelve leads in .dat and three in .xyz, a gain without unit, and comments with CRLF and two colons."""
    folder = root / f"patient{patient:03d}"
    digital = noise(15, 300, seed=patient)
    path = write_record(folder, name, digital[:12], LOWER, gain="2000", rate=1000)
    digital[12:].T.astype("<i2").tofile(path.with_suffix(".xyz"))
    lines = path.with_suffix(".hea").read_text().splitlines()
    lines[0] = f"{name} 15 1000 300"
    lines += [
        f"{name}.xyz 16 2000 16 0 0 {int(row.astype(int).sum()) % 65536} 0 {lead}"
        for row, lead in zip(digital[12:], FRANK, strict=True)
    ]
    lines += ["", f"# age: {age}", f"# sex: {sex}", "# ECG date: 01/10/1990", "", "# Diagnose:"]
    lines += [f"# Reason for admission: {reason}", "# Acute infarction (localization): infero-latera"]
    path.with_suffix(".hea").write_bytes("\r\n".join(lines).encode() + b"\r\n")


@pytest.fixture
def ptb(tmp_path):
    write_ptb(tmp_path, 1, "s0010_re", "Myocardial infarction")
    write_ptb(tmp_path, 1, "s0014lre", "Myocardial infarction", age="92", sex="male")
    write_ptb(tmp_path, 104, "s0306lre", "Healthy control", age="n/a")
    write_ptb(tmp_path, 285, "s0544_re", "n/a", sex="")
    write_ptb(tmp_path, 117, "s0291lre", "Unstable angina")
    write_ptb(tmp_path, 118, "s0292lre", "Broken heart")
    return tmp_path


def test_ptb(ptb):
    cohort = load(SetParams(reader="ptb", root=ptb), "unused")
    table = cohort.table.set_index("record_id")
    assert list(table.index) == [
        f"ptb-{n}" for n in ("s0010_re", "s0014lre", "s0306lre", "s0291lre", "s0292lre", "s0544_re")
    ]
    assert list(table["patient_id"]) == [
        "patient001",
        "patient001",
        "patient104",
        "patient117",
        "patient118",
        "patient285",
    ]
    np.testing.assert_array_equal(table["age"], [81, 90, np.nan, 81, 81, 81])
    assert list(table["sex"]) == ["female", "male", "female", "female", "female", ""]
    assert table["MI"].tolist()[:5] == [1, 1, 0, 0, 0]
    assert table["ANGINA"].tolist()[:5] == [0, 0, 0, 1, 0]
    assert table.loc["ptb-s0544_re", list(cohort.targets)].isna().all()
    assert table.loc["ptb-s0010_re", "split"] == table.loc["ptb-s0014lre", "split"]
    assert "6 of 549 recordings of 5 patients" in cohort.notes
    assert "1 codes without a label (number of recordings): Broken heart (1)" in cohort.notes
    recording = read(ptb / table["path"].iloc[0])
    assert (recording.leads, recording.sampling_rate) == (LOWER, 1000.0)


def test_ptb_infarction_against_healthy_controls(ptb):
    cohort = PTB(ptb, labels="infarction").cohort()
    assert cohort.targets == ("MI",)
    np.testing.assert_array_equal(cohort.table["MI"], [1, 1, 0, np.nan, np.nan, np.nan])
    diagnosis = PTB(ptb).cohort()
    np.testing.assert_array_equal(cohort.table["fold"], diagnosis.table["fold"])


def test_ptb_refuses_a_folder_without_records(ptb, tmp_path):
    for path in ptb.rglob("*.hea"):
        path.unlink()
    with pytest.raises(InputError, match=r"does not contain patientNNN/sNNNN\*\.hea"):
        PTB(ptb).cohort()
    with pytest.raises(InputError, match=r"does not contain patientNNN, which identifies"):
        PTB(tmp_path / "patient001")


@pytest.mark.real
def test_real_record_of_ptb(real_data, tmp_path):
    folder = tmp_path / "patient001"
    folder.mkdir()
    for path in (real_data / "ptb").iterdir():
        (folder / path.name).symlink_to(path)
    cohort = PTB(tmp_path).cohort()
    row = cohort.table.iloc[0]
    assert (row["record_id"], row["patient_id"], row["age"], row["sex"]) == ("ptb-s0010_re", "patient001", 81, "female")
    assert {target for target in cohort.targets if row[target] == 1} == {"MI"}
    recording = read(tmp_path / row["path"])
    assert recording.signal.shape == (12, 38400)
    assert 0.5 < np.abs(recording.signal).max() < 5

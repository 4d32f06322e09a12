"""CPSC2018: small releases in both forms with their special cases, and real excerpts in both layouts."""

from __future__ import annotations

import numpy as np
import pytest
from challenge_release import write_header_and_signal
from scipy.io import loadmat, savemat
from wfdb_files import noise

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public import release_counts
from ecgssl.datasets.public.cpsc2018 import CPSC2018
from ecgssl.errors import InputError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.leads import LEADS

NINE = ("NORM", "AF", "IAVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
SNOMED = ("426783006", "164889003", "270492004", "164909002", "59118001", "284470004", "164884008", "429622005")
SNOMED += ("164931005",)
RANKED = {
    1: (5,),
    2: (1,),
    3: (2,),
    4: (7, 2),
    43: (5, 2),
    44: (9,),
    45: (8, 4, 6),
    46: (3,),
    47: (6,),
    48: (4,),
    6877: (2, 9),
}
"""Class numbers of recordings in their order (A0043 is the example of the challenge page)."""


@pytest.fixture
def original(tmp_path):
    """Three folders with a table each, as in the unpacked archives."""
    root = tmp_path / "original"
    rows = {number: [] for number in (1, 2, 3)}
    for place, (number, labels) in enumerate(RANKED.items()):
        part = 1 + place % 3
        folder = root / f"TrainingSet{part}"
        folder.mkdir(exist_ok=True, parents=True)
        data = noise(samples=3000 + place).astype(float) / 1000
        savemat(folder / f"A{number:04d}.mat", {"ECG": {"sex": "Male", "age": -1.0, "data": data}})
        rows[part].append(",".join([f"A{number:04d}", *map(str, labels), *[""] * (3 - len(labels))]))
    for part, listed in rows.items():
        head = "Recording,First_label,Second_label,Third_label"
        (root / f"TrainingSet{part}/REFERENCE.csv").write_text("\n".join([head, *listed]) + "\n")
    return root


@pytest.fixture
def copy(tmp_path):
    """Layout of the Challenge: sorted codes, absent ages, and duplicate or equal codes."""
    root = tmp_path / "challenge"
    for number, labels in RANKED.items():
        dx = ",".join(SNOMED[label - 1] for label in sorted(labels))
        dx = {47: "63593006,63593006", 48: "733534002,", 46: "270492004,,39732003"}.get(number, dx)
        age = {1: "-1", 2: "NaN", 3: "104"}.get(number, "60")
        sex = {1: "female", 2: "Unknown"}.get(number, "Male")
        write_header_and_signal(root, "cpsc_2018", f"A{number:04d}", dx, age=age, sex=sex, samples=3000 + number)
    write_header_and_signal(root, "cpsc_2018_extra", "Q0001", "164889003")
    return root


def positives(cohort):
    table = cohort.table.set_index("record_id")
    return {int(name[-4:]): {t for t in cohort.targets if table.loc[name, t] == 1} for name in table.index}


def test_original_form(original):
    cohort = load(SetParams(reader="cpsc2018", root=original), "unused")
    assert cohort.targets == NINE
    assert positives(cohort) == {n: {NINE[label - 1] for label in labels} for n, labels in RANKED.items()}
    assert not cohort.table[list(NINE)].isna().any().any()
    first = cohort.table.set_index("record_id").loc["cpsc2018-A0001"]
    assert first["path"] == "TrainingSet1/A0001.mat"
    assert first["patient_id"] == "record:cpsc2018-A0001"
    requests = recording_requests(cohort, 0, len(cohort))
    assert read(requests[0].path, overrides=requests[0].overrides).signal.shape == (12, 3000)
    assert {entry.overrides for entry in requests} == {MetadataOverrides(500.0, "mV", LEADS)}
    assert "11 of 6,877 recordings, as first released" in cohort.notes
    assert any("splits may share patients" in note for note in cohort.notes)
    assert set(cohort.table["split"]) == {"train", "val", "test"}


def test_the_first_label_is_the_first_of_the_table(original, copy):
    cohort = CPSC2018(original, labels="first").cohort()
    assert positives(cohort) == {number: {NINE[labels[0] - 1]} for number, labels in RANKED.items()}
    with pytest.raises(InputError, match="in the order of their numbers"):
        CPSC2018(copy, labels="first").cohort()


def test_wfdb_form(copy):
    cohort = CPSC2018(copy).cohort()
    assert positives(cohort) == {n: {NINE[label - 1] for label in labels} for n, labels in RANKED.items()}
    table = cohort.table.set_index("record_id")
    assert table.loc["cpsc2018-A0043", "path"] == "training/cpsc_2018/g1/A0043"
    assert read(copy / table.loc["cpsc2018-A6877", "path"]).signal.shape == (12, 9877)
    ages = table.loc[[f"cpsc2018-A000{n}" for n in (1, 2, 3, 4)], "age"]
    np.testing.assert_array_equal(ages, [np.nan, np.nan, 90, 60])
    assert list(table["sex"].iloc[:3]) == ["female", "", "male"]
    assert "1 codes without a label (number of recordings): 39732003 (1)" in cohort.notes
    assert "2 ages are absent or -1 and count as unknown" in cohort.notes
    assert "sampling_rate" not in table
    assert recording_requests(cohort, 0, 1)[0].overrides == MetadataOverrides()


def test_both_forms_have_the_same_folds(original, copy):
    one, other = (CPSC2018(root).cohort().table.set_index("record_id") for root in (original, copy))
    assert one["fold"].to_dict() == other["fold"].to_dict()


def test_wfdb_files_with_the_original_table(copy):
    """The original table also states the order of the labels."""
    rows = [",".join([f"A{n:04d}", *map(str, labels), *[""] * (3 - len(labels))]) for n, labels in RANKED.items()]
    table = "\n".join(["Recording,First_label,Second_label,Third_label", *rows])
    (copy / "REFERENCE.csv").write_text(table)
    cohort = CPSC2018(copy, labels="first").cohort()
    assert positives(cohort)[45] == {"STD"}
    assert recording_requests(cohort, 0, 1)[0].overrides == MetadataOverrides()


def test_recordings_that_no_row_names_are_unknown(original):
    reference = original / "TrainingSet2/REFERENCE.csv"
    reference.write_text("\n".join(line for line in reference.read_text().splitlines() if "A0043" not in line))
    cohort = CPSC2018(original).cohort()
    assert "1 recordings have no diagnosis code: their labels are unknown" in cohort.notes
    assert cohort.table.set_index("record_id").loc["cpsc2018-A0043", list(NINE)].isna().all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A0001,5,", "A0001,10,", r"row 2: not a name with one to three different labels"),
        ("A0001,5,,", "A0001,,5,", r"row 2: not a name with one"),
        ("A0001,5,,", "A0001,5,5,", r"row 2: not a name with one"),
        ("A0001,5,", "A9999,5,", r"1 of 4 recordings are not under .*row 2"),
        ("A0004,7,2", "A0001,7,2", r"A0001 listed more than once"),
        ("First_label", "Label", r"lacks the columns \['First_label'\]"),
    ],
)
def test_tables_that_cannot_be_used(original, old, new, message):
    reference = original / "TrainingSet1/REFERENCE.csv"
    assert old in reference.read_text()
    reference.write_text(reference.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        CPSC2018(original).cohort()


def test_two_copies_are_not_mixed(original, copy):
    (original / "TrainingSet3/A0001.mat").write_bytes((original / "TrainingSet1/A0001.mat").read_bytes())
    with pytest.raises(InputError, match=r"A0001 \(1 in total\) exist in two folders"):
        CPSC2018(original).cohort()
    for part in (1, 2, 3):
        (original / f"TrainingSet{part}/REFERENCE.csv").unlink()
    with pytest.raises(InputError, match="11 MATLAB files have no labels without it"):
        CPSC2018(original).cohort()
    assert len(CPSC2018(copy).cohort()) == len(RANKED)


def test_counts_of_the_whole_release_are_asserted(copy, monkeypatch):
    counts = {"recordings": 11, **dict.fromkeys(NINE, 1)}
    rows = [{"set": "cpsc2018", "labels": "", "counted": what, "count": str(n)} for what, n in counts.items()]
    monkeypatch.setattr(release_counts, "package_table", lambda _: rows)
    with pytest.raises(InputError, match=r"AF 4 \(1\), LBBB 2 \(1\), RBBB 2 \(1\), PAC 2 \(1\), STE 2 \(1\)"):
        CPSC2018(copy).cohort()


@pytest.mark.real
def test_real_wfdb_copy(real_data):
    cohort = CPSC2018(real_data / "cinc2021/CPSC_CPSC-Extra").cohort()
    assert len(cohort) == 10
    assert "10 of 6,877 recordings" in cohort.notes[0]
    assert (cohort.table[list(NINE)].sum(axis=1) >= 1).all()
    for row in cohort.table.itertuples():
        recording = read(cohort.root / row.path)
        assert recording.meta["sex"] == row.sex
        assert recording.sampling_rate == 500
        assert not any("without a label" in note for note in cohort.notes)


@pytest.mark.real
def test_real_original(real_data, tmp_path):
    names = [f"A{number}" for number in range(1980, 1990)]
    for name in names:
        (tmp_path / f"{name}.mat").symlink_to(real_data / f"cpsc2018_original/{name}.mat")
    with pytest.raises(InputError, match="10 MATLAB files have no labels"):
        CPSC2018(tmp_path).cohort()
    rows = [f"{name},{1 + place % 9},," for place, name in enumerate(names)]
    (tmp_path / "REFERENCE.csv").write_text("\n".join(["Recording,First_label,Second_label,Third_label", *rows]))
    cohort = CPSC2018(tmp_path).cohort()
    assert list(cohort.table["path"]) == [f"{name}.mat" for name in names]
    for name, request in zip(names, recording_requests(cohort, 0, len(cohort)), strict=True):
        recording = read(request.path, overrides=request.overrides)
        data = loadmat(tmp_path / f"{name}.mat")["ECG"][0, 0]["data"]
        assert (recording.sampling_rate, recording.leads) == (500.0, LEADS)
        np.testing.assert_allclose(recording.signal, data, atol=1e-6)

"""ecg-arrhythmia and Ningbo: a small release with special cases, the real excerpt, and equal folds in both."""

from __future__ import annotations

import numpy as np
import pytest
from challenge_release import write_header_and_signal

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public import release_counts
from ecgssl.datasets.public.challenge import CinC2021
from ecgssl.datasets.public.ecg_arrhythmia import ECGArrhythmia, Ningbo
from ecgssl.errors import InputError, RecordingError
from ecgssl.io import read
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.leads import arrange

CONDITIONS = """Acronym Name,Full Name,Snomed_CT
IDC,Interior differences conduction,698252002
IVB,Intraventricular block,698252002
LBBB,left bundle branch block,164909002
LBBBB,left back bundle branch block,164909002
RBBB,right bundle branch block,59118001
TWC,T wave Change,164934002
VPB,ventricular premature beat,17338001
SB,Sinus Bradycardia,426177001
SR,Sinus Rhythm,426783006
AFIB,Atrial Fibrillation,164889003
ST,Sinus Tachycardia,427084000
AF,Atrial Flutter,164890007
"""
RECORDS = (
    ("01/010/JS00001", "164889003,59118001,164934002", {"age": "85"}),
    ("01/010/JS00002", "426177001,164934002", {"age": "NaN", "sex": "Unknown"}),
    ("01/013/JS00344", "164890007,", {"age": "91", "sex": "Female"}),
    ("01/019/JS01052", "426783006", {}),
    ("03/036/JS03287", "713427006,,427172004", {"sex": "FEMALE"}),
    ("10/107/JS10646", "426177001,6180003,251238007", {}),
    ("11/110/JS10647", "733534002,6180003", {}),
    ("11/111/JS10765", "698252002", {"gain": "1000/mv"}),
    ("23/236/JS23074", "426177001", {}),
    ("46/460/JS45551", "NaN", {}),
)


def build(root, records=RECORDS):
    """Folders of the release, including the two headers with merged first lines."""
    for path, dx, more in records:
        folder, _, name = path.rpartition("/")
        made = write_header_and_signal(root / "made", "any", name, dx, **more)
        target = root / "WFDBRecords" / folder
        target.mkdir(parents=True, exist_ok=True)
        for suffix in (".hea", ".mat"):
            made.with_suffix(suffix).rename(target / f"{name}{suffix}")
        if name in ("JS01052", "JS23074"):
            header = target / f"{name}.hea"
            first, second, *rest = header.read_text().splitlines(keepends=True)
            merged = first.rstrip("\n") + second[second.index("00/mV") :]
            header.write_text("".join([merged, *rest]))
    (root / "ConditionNames_SNOMED-CT.csv").write_text(CONDITIONS)
    return root


@pytest.fixture
def release(tmp_path):
    return build(tmp_path)


def positives(cohort):
    table = cohort.table.set_index("record_id")
    return {name[-7:]: {t for t in cohort.targets if table.loc[name, t] == 1} for name in table.index}


def test_labels_by_exact_match(release):
    cohort = load(SetParams(reader="ecg_arrhythmia", root=release), "unused")
    assert cohort.targets == ("IDC", "LBBB", "RBBB", "TWC", "VPB", "SB", "SR", "AFIB", "ST", "AF")
    assert positives(cohort) == {
        "JS00001": {"AFIB", "RBBB", "TWC"},
        "JS00002": {"SB", "TWC"},
        "JS00344": {"AF"},
        "JS01052": {"SR"},
        "JS03287": {"RBBB", "VPB"},
        "JS10646": {"SB"},
        "JS10647": {"LBBB"},
        "JS10765": {"IDC"},
        "JS23074": {"SB"},
        "JS45551": set(),
    }
    table = cohort.table.set_index("record_id")
    unknown = table[list(cohort.targets)].isna().any(axis=1)
    assert list(unknown.index[unknown]) == ["ecg_arrhythmia-JS45551"]
    assert "2 codes without a label (number of recordings): 6180003 (2), 251238007 (1)" in cohort.notes
    assert "1 recordings have no diagnosis code: their labels are unknown" in cohort.notes


def test_what_is_known_of_each_recording(release):
    cohort = ECGArrhythmia(release).cohort()
    table = cohort.table.set_index("record_id")
    np.testing.assert_array_equal(table["age"].iloc[:3], [85, np.nan, 90])
    assert list(table["sex"].iloc[:5]) == ["male", "", "female", "male", "female"]
    assert table["patient_id"].is_unique
    assert list(table["site"]) == ["chapman_shaoxing"] * 6 + ["ningbo"] * 4
    assert "10 of 45,152 recordings" in cohort.notes
    assert table.loc["ecg_arrhythmia-JS10647", "path"] == "WFDBRecords/11/110/JS10647"


def test_merged_header_lines_are_known(release):
    cohort = ECGArrhythmia(release).cohort()
    excluded = {entry.path[-7:] for entry in recording_requests(cohort, 0, len(cohort)) if entry.excluded}
    assert excluded == {"JS01052", "JS23074"}
    for name in ("01/019/JS01052", "23/236/JS23074"):
        with pytest.raises(RecordingError) as caught:
            read(release / "WFDBRecords" / name)
        assert caught.value.reason == "header"
    flagged = cohort.table.loc[cohort.table["defect_action"] == "flag", "record_id"]
    assert list(flagged) == ["ecg_arrhythmia-JS10765", "ecg_arrhythmia-JS45551"]
    assert read(release / "WFDBRecords/11/111/JS10765").sampling_rate == 500


def test_ningbo_is_the_part_of_the_whole(release):
    whole = ECGArrhythmia(release).cohort().table.set_index("record_id")
    cohort = Ningbo(release).cohort()
    table = cohort.table.set_index("record_id")
    assert list(table.index) == [name for name in whole.index if int(name[-5:]) >= 10_647]
    for column in ("fold", "split", "site", "defect_action"):
        assert table[column].to_dict() == whole.loc[table.index, column].to_dict()
    assert "4 of 34,905 recordings" in cohort.notes
    for name, _, _ in RECORDS[6:]:
        (release / "WFDBRecords" / f"{name}.hea").unlink()
    with pytest.raises(InputError, match="does not contain any recording of Ningbo"):
        Ningbo(release).cohort()


def test_folds_agree_with_those_of_the_challenge(tmp_path):
    """A recording has the same fold in both sets, so that test data of one set are not training data of the other."""
    rng = np.random.default_rng(0)
    codes = ("426177001", "426783006", "164889003", "164890007", "164934002", "733534002")
    records = [
        (f"{n // 1000 + 1:02d}/{n // 100:03d}/JS{n:05d}", ",".join(rng.choice(codes, 2)), {"samples": 10})
        for n in [*range(1, 41), *range(10_647, 10_687)]
    ]
    release = build(tmp_path / "release", records)
    for path, dx, more in records:
        name = path[-7:]
        subset = "ningbo" if int(name[2:]) >= 10_647 else "chapman_shaoxing"
        write_header_and_signal(tmp_path / "challenge", subset, name, dx, **more)
    one = ECGArrhythmia(release).cohort().table.set_index("record_id")["fold"]
    other = CinC2021(tmp_path / "challenge", subsets=("chapman_shaoxing", "ningbo")).cohort().table
    assert one.to_dict() == other.set_index("record_id")["fold"].to_dict()
    assert set(one) == set(range(1, 11))


def test_other_headers_are_counted(release):
    (release / "WFDBRecords/01/010/example.hea").write_text("example 0 500\n")
    assert any(
        "1 headers are not used, because they are not named JS" in note
        for note in ECGArrhythmia(release).cohort().notes
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Acronym Name", "Acronym", "lacks the columns Acronym Name and Snomed_CT"),
        ("IVB,Intraventricular block,698252002", "IVB,Intraventricular block,", "row 3: not an acronym and a code"),
        (CONDITIONS, "Acronym Name,Full Name,Snomed_CT\n", "has no rows"),
    ],
)
def test_names_that_cannot_be_used(release, old, new, message):
    path = release / "ConditionNames_SNOMED-CT.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        ECGArrhythmia(release).cohort()
    path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        ECGArrhythmia(release).cohort()


def test_copies_of_the_names_with_other_column_names(release):
    path = release / "ConditionNames_SNOMED-CT.csv"
    expected = positives(ECGArrhythmia(release).cohort())
    path.write_text("\ufeff" + path.read_text().replace("Acronym Name,Full Name", "AcronymName,FullName"))
    assert positives(ECGArrhythmia(release).cohort()) == expected


def test_size_of_the_whole_release_is_known(release, monkeypatch):
    rows = [{"set": "ecg_arrhythmia", "labels": "", "counted": "recordings", "count": "10"}]
    rows += [{"set": "ecg_arrhythmia", "labels": "conditions", "counted": "SB", "count": "4"}]
    monkeypatch.setattr(release_counts, "package_table", lambda _: rows)
    with pytest.raises(InputError, match=r"SB 3 \(4\)"):
        ECGArrhythmia(release).cohort()


@pytest.mark.real
def test_real_recordings_in_the_true_layout(real_data, tmp_path):
    source = real_data / "cinc2021/ChapmanShaoxing_Ningbo"
    for header in sorted(source.glob("*.hea")):
        number = int(header.stem[2:])
        folder = tmp_path / f"WFDBRecords/{number // 1000 + 1:02d}/{number // 100:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in (".hea", ".mat"):
            (folder / f"{header.stem}{suffix}").symlink_to(header.with_suffix(suffix))
    (tmp_path / "ConditionNames_SNOMED-CT.csv").write_text(CONDITIONS)
    cohort = ECGArrhythmia(tmp_path).cohort()
    assert len(cohort) == 20
    table = cohort.table.set_index("record_id")
    assert positives(cohort)["JS00001"] == {"AFIB", "RBBB", "TWC"}
    flat = table.index[table["defect"].str.contains("constant")]
    assert [name[-7:] for name in flat] == ["JS45542", "JS45544", "JS45551"]
    for row in table.itertuples():
        recording = read(tmp_path / row.path)
        assert recording.meta["age"] == row.age
        signal, present = arrange(recording.signal, recording.leads)
        constant = (np.ptp(signal, axis=1) == 0) & present
        # the leads that the table of defects names, and only in the recordings that it names
        assert constant.any() == (row.Index in flat)
    assert len(Ningbo(tmp_path).cohort()) == 10

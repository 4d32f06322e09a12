"""Tables of a hospital: mapping of columns and cells, and a table with all known errors, reported in one run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from ecgssl.config import ManifestParams, SetParams, Target
from ecgssl.datasets.cohort import describe, require_one_kind, require_targets
from ecgssl.datasets.load import load
from ecgssl.datasets.table.manifest import examine_manifest, listed_recordings, load_manifest
from ecgssl.datasets.table.read_table import likely_columns
from ecgssl.errors import InputError

GERMAN = """sep=;
MRN;EKG-Datei;Name;Geschlecht;Alter;Aufnahmedatum;Gruppe;Rhythmus;Befund;LVEF (%);Vorhofflimmern;Standort
0017;D:\\MUSE\\2021\\a.xml;Müller, Hans;w;63,5;25.03.2021 10:15;Training;VHF;LSB;55,5;ja;Haus A
0017;D:\\MUSE\\2021\\b.xml;Müller, Hans;w;64;26.03.2021;Training;SR;ohne Befund;;nein;Haus A
0018;D:\\MUSE\\2022\\c.xml;Weiß, Anna;2;95;27.03.2021;Test;;VES,LSB;1.060,25;k.A.;
"""
READING = ManifestParams(
    columns={
        "record_id": "path", "path": "EKG-Datei", "patient_id": "MRN", "sex": "Geschlecht", "age": "Alter",
        "acq_time": "Aufnahmedatum", "split": "Gruppe", "site": "Standort",
    },
    values={"sex": {"2": "male"}, "split": {"Training": "train"}},
    path_prefix="D:\\MUSE",
    targets={
        "rhythm": Target(kind="multiclass", column="Rhythmus", classes={"SR": [], "AF": ["VHF"]}),
        "af_now": Target(column="Rhythmus", positive=["VHF"], negative=["SR"]),
        "dx": Target(kind="multilabel", column="Befund", classes={"LBBB": ["LSB"], "PVC": ["VES"]},
                     negative=["ohne Befund"], separator=","),
        "lvef": Target(kind="regression", column="LVEF (%)", unit="%"),
        "af": Target(column="Vorhofflimmern", positive=["ja"], negative=["nein"], unknown=["k.A."]),
    },
)  # fmt: skip


@pytest.fixture
def german(tmp_path):
    for name in ("2021/a.xml", "2021/b.xml", "2022/c.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Kohorte.csv").write_bytes(GERMAN.encode("cp1252"))
    return tmp_path / "Kohorte.csv"


def test_a_german_table_works_unedited(german):
    cohort = load_manifest(german, reading=READING)
    table = cohort.table
    assert list(table["record_id"]) == list(table["path"]) == ["2021/a.xml", "2021/b.xml", "2022/c.xml"]
    assert list(table["patient_id"]) == ["0017", "0017", "0018"]
    assert list(table["sex"]) == ["female", "female", "male"]
    assert list(table["age"]) == [63.5, 64, 90]
    assert list(table["acq_time"]) == ["2021-03-25T10:15:00", "2021-03-26T00:00:00", "2021-03-27T00:00:00"]
    assert list(table["split"]) == ["train", "train", "test"]
    assert list(table["site"]) == ["Haus A", "Haus A", ""]
    assert cohort.targets == ("rhythm", "af_now", "dx:LBBB", "dx:PVC", "lvef", "af")
    np.testing.assert_array_equal(table["rhythm"], [1, 0, np.nan])
    np.testing.assert_array_equal(table["af_now"], [1, 0, np.nan])
    np.testing.assert_array_equal(table["dx:LBBB"], [1, 0, 1])
    np.testing.assert_array_equal(table["dx:PVC"], [0, 0, 1])
    np.testing.assert_array_equal(table["lvef"], [55.5, np.nan, 1060.25])
    np.testing.assert_array_equal(table["af"], [1, 0, np.nan])
    assert cohort.rows == (2, 3, 4)
    assert {name: cohort.kind(name).kind for name in ("rhythm", "lvef", "dx:PVC", "af")} == {
        "rhythm": "multiclass", "lvef": "regression", "dx:PVC": "binary", "af": "binary",
    }  # fmt: skip
    notes = " ".join(cohort.notes)
    assert "Windows-1252" in notes
    assert "backslashes of 3 paths" in notes
    assert "prefix is removed from 3" in notes
    assert "1 age above 89 set to 90" in notes
    assert "Müller" not in notes
    assert list(cohort.not_binary) == ["Name"]
    assert describe(cohort)["targets"]["rhythm"]["train"] == {"known": 2, "SR": 1, "AF": 1}
    assert describe(cohort)["targets"]["lvef"]["train"] == {"known": 1}


def test_the_yaml_beside_the_table_says_the_same(german):
    plain = READING.model_dump(mode="json", exclude_unset=True)
    german.with_suffix(".targets.yaml").write_text(
        yaml.safe_dump(plain, allow_unicode=True, sort_keys=False), encoding="utf-8"
    )
    beside = load_manifest(german)
    pd.testing.assert_frame_equal(beside.table, load_manifest(german, reading=READING).table)
    named = german.with_name("mine.yaml")
    german.with_suffix(".targets.yaml").rename(named)
    pd.testing.assert_frame_equal(load_manifest(german, targets_file=named).table, beside.table)
    german.with_suffix(".targets.yaml").write_bytes(named.read_bytes())
    listed = listed_recordings(german)
    names = ["2021/a.xml", "2021/b.xml", "2022/c.xml"]
    assert listed.table.to_dict("list") == {"record_id": names, "path": names}
    german.with_suffix(".targets.yaml").unlink()
    # what the parameters say wins, name by name
    params = SetParams(
        reader="cohort", manifest=german, targets_file=named, values={"sex": {"2": "other"}}, columns={"site": "Name"}
    )
    cohort = load(params, german.parent)
    assert list(cohort.table["sex"]) == ["female", "female", "other"]
    assert cohort.table["site"][0] == "Müller, Hans"
    assert list(cohort.table["age"]) == [63.5, 64, 90]


def test_faults_of_the_targets_file_and_of_the_table_are_reported_together(tmp_path):
    (tmp_path / "m.csv").write_text("Nr,path,age,af\n1,a.xml,old,1\n")
    (tmp_path / "m.targets.yaml").write_text("columns: {record_id: Nr}\ntargets: {lvef: {kind: number}, af: {}}\n")
    with pytest.raises(InputError) as caught:
        examine_manifest(tmp_path / "m.csv")
    assert [problem.field for problem in caught.value.problems] == ["targets.lvef.kind", "path", "age"]
    # a fault of another section changes how the table is read, so that only the faults of this file are certain
    (tmp_path / "m.targets.yaml").write_text("column: {record_id: Nr}\ntargets: {lvef: {kind: number}}\n")
    with pytest.raises(InputError) as caught:
        examine_manifest(tmp_path / "m.csv")
    assert [problem.field for problem in caught.value.problems] == ["targets.lvef.kind", "column"]


def test_without_a_mapping_the_table_is_refused_with_likely_columns_and_without_cells(german):
    with pytest.raises(InputError) as caught:
        load_manifest(german)
    reported = str(caught.value)
    assert "record_id: the column is absent. Add it, or map a column; columns found: MRN, EKG-Datei, Name" in reported
    assert "path: the column is absent. Add it, or map a column, for example --column path=EKG-Datei" in reported
    assert not any(word in reported for word in ("Müller", "0017", "D:", "25.03"))
    found = examine_manifest(german)
    hints = [note for note in found.cohort.notes if "perhaps" in note]
    assert "--column patient_id=MRN" in hints[0]
    assert [hint.split("perhaps ")[1] for hint in hints[1:]] == [
        "--column acq_time=Aufnahmedatum", "--column age=Alter", "--column sex=Geschlecht", "--column site=Standort",
    ]  # fmt: skip
    assert list(found.cohort.table["patient_id"]) == [f"record:row {i}" for i in (2, 3, 4)], "suggested, not applied"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("patient_id", "Patient ID"), ("patient_id", "PatientID"), ("path", "File Name"), ("record_id", "ECG_ID"),
     ("sex", "Gender"), ("acq_time", "Acquisition Date"), ("age", "Age (years)"), ("device", "Gerät"),
     ("patient_id", "patient_idd")],
)  # fmt: skip
def test_likely_columns(ours, theirs):
    assert likely_columns(ours, ["AF", "Kommentar", theirs]) == [theirs]


def test_mapping_what_is_not_there(tmp_path):
    (tmp_path / "a.hea").touch()
    (tmp_path / "m.csv").write_text("record_id,path,MRN\nx,a,7\n")
    found = examine_manifest(
        tmp_path / "m.csv", reading=ManifestParams(columns={"patient_id": "MNR", "patient": "MRN"}, values={"ag": {}})
    )
    assert [(issue.column, issue.remedy) for issue in found.issues if issue.column != "split"] == [
        ("patient_id", "Did you mean 'MRN'?"),
        ("sets.NAME.columns.patient", "Did you mean 'patient_id'?"),
        ("sets.NAME.values.ag", "Columns: record_id, path, MRN"),
    ]


@pytest.mark.parametrize("ours", ["record_id", "path"])
def test_mapping_what_is_needed_to_what_is_not_there(tmp_path, ours):
    (tmp_path / "m.csv").write_text("record_id,path\nx,a\n")
    reading = ManifestParams(columns={ours: "nowhere"})
    found = examine_manifest(tmp_path / "m.csv", reading=reading)
    assert "the file has no column 'nowhere'" in [issue.what for issue in found.issues]
    with pytest.raises(InputError):
        load_manifest(tmp_path / "m.csv", reading=reading)


def test_a_column_of_our_name_with_another_meaning_gives_way(tmp_path):
    (tmp_path / "a.hea").touch()
    (tmp_path / "m.csv").write_text("record_id,path,file,split\nx,C:\\old,a,train\n")
    cohort = load_manifest(tmp_path / "m.csv", reading=ManifestParams(columns={"path": "file"}))
    assert list(cohort.table["path"]) == ["a"]
    assert cohort.notes[0] == "the column 'path' of the file is not used: path is read from 'file'"


def test_targets_from_columns_that_also_describe(tmp_path):
    """Age and sex are targets only if declared."""
    (tmp_path / "a.hea").touch()
    (tmp_path / "m.csv").write_text("record_id,path,split,age,sex\nx,a,train,95,f\n")
    assert load_manifest(tmp_path / "m.csv").targets == ()
    targets = {
        "years": Target(kind="regression", column="age"),
        "female": Target(column="sex", positive=["f"], negative=["m"]),
    }
    cohort = load_manifest(tmp_path / "m.csv", reading=ManifestParams(targets=targets))
    assert cohort.table[["years", "female"]].to_numpy().tolist() == [[95, 1]]
    assert cohort.table["age"][0] == 90


def test_what_there_is_too_little_of_is_reported(german):
    cohort = load_manifest(german, reading=READING)
    with pytest.raises(InputError) as caught:
        require_targets(cohort, ["rhythm", "lvef", "dx", "Name", "af", "age"], splits=("train", "test"))
    reported = {problem.field: (problem.what, problem.remedy) for problem in caught.value.problems}
    assert reported["rhythm"][0] == "has no known value in split 'test'"
    assert reported["lvef"][0].endswith("in all 1 known recordings in split 'test'")
    assert reported["dx"] == ("has several labels, and each label is a target", "Use dx:LBBB, dx:PVC")
    assert "declare the column in sets.NAME.targets" in reported["Name"][1]
    assert reported["af"][0] == "has no known value in split 'test'"
    assert reported["age"][0].endswith("in all 1 known recordings in split 'test'")
    require_targets(cohort, ["dx:LBBB", "af", "rhythm", "age"], splits=("train",))


def test_a_task_is_of_one_kind(german):
    cohort = load_manifest(german, reading=READING)
    require_one_kind(cohort, {"a": ["af", "dx:PVC"], "b": ["lvef", "age"], "c": ["rhythm"], "d": ["nowhere"]})
    with pytest.raises(InputError) as caught:
        require_one_kind(cohort, {"a": ["af", "age"], "b": ["lvef", "rhythm"], "c": ["af"]})
    reported = {problem.field: problem.what for problem in caught.value.problems}
    assert reported == {
        "a": "cannot be learned by one model: af (binary), age (regression)",
        "b": "cannot be learned by one model: lvef (regression), rhythm (multiclass)",
    }


HEADER = "record_id,path,patient_id,split,fold,acq_time,age,sex,sampling_rate,units,leads,AF,EF,rhythm,dx,AF"
SOUND = "{id},r{n},p{n},train,1,2021-03-04,60,f,500,uV,I;II,1,55,SR,LBBB,"
ROUNDED = "long numbers rounded by a spreadsheet, so that different numbers look equal"
DEFECTS = {
    # row: the row's text, or changes of a sound row by column; issues that it must be among
    2: ({"record_id": "same"}, [("record_id", "not unique")]),
    3: ({"record_id": "same"}, [("record_id", "not unique")]),
    4: ({"record_id": ""}, [("record_id", "is empty")]),
    5: ({"path": ""}, [("path", "is empty")]),
    6: ({"path": "gone"}, [("path", "no such file")]),
    7: ({"path": "../secret"}, [("path", "is outside the root folder")]),
    8: ({"path": "C:\\ECG\\x.xml"}, [("path", "is a Windows path")]),
    9: ({"path": "folder"}, [("path", "is a folder, not a file")]),
    10: ({"path": "twin"}, [("path", "another row lists the same file")]),
    11: ({"path": "./twin.hea"}, [("path", "another row lists the same file")]),
    12: ({"patient_id": "both"}, [("split", "patients with recordings in more than one split")]),
    13: ({"patient_id": "both", "split": "test"}, [("split", "patients with recordings in more than one split")]),
    14: ({"split": "dev"}, [("split", "is not a split")]),
    15: ({"fold": "1.5"}, [("fold", "invalid value")]),
    16: ({"acq_time": "04.03.21"}, [("acq_time", "is not a known date format")]),
    17: ({"acq_time": "03/04/2021"}, [("acq_time", "day and month are ambiguous")]),
    18: ({"age": "300"}, [("age", "invalid value")]),
    19: ({"sex": "1"}, [("sex", "invalid value")]),
    20: ({"sampling_rate": "0.5"}, [("sampling_rate", "invalid value")]),
    21: ({"units": "bpm"}, [("units", "invalid value")]),
    22: ({"leads": "I;V7"}, [("leads", "invalid value")]),
    23: ({"AF": "perhaps"}, [("AF", "is neither a positive nor a negative cell")]),
    24: ({"EF": "900"}, [("EF", "is outside the plausible range 5 to 90 %")]),
    25: ({"EF": "low"}, [("EF", "is not a number")]),
    26: ({"rhythm": "flutter"}, [("rhythm", "is not one of its classes")]),
    27: ({"dx": "LBBB;XX"}, [("dx", "contains a label that is not one of its classes (2 are declared)")]),
    28: ({"patient_id": "1.23E+11"}, [("patient_id", ROUNDED)]),
    29: ("cut,r29,p29,train", [("row length", "the number of cells differs from the header, which has 16")]),
    30: ("{sound},extra", [("row length", "the number of cells differs from the header, which has 16")]),
    31: ("{sound}", [("rows", "the same row occurs more than once")]),
    32: ("{sound}", [("rows", "the same row occurs more than once")]),
}  # fmt: skip
DECLARED = {
    "AF": Target(),
    "EF": Target(kind="regression", unit="%", range=(5, 90)),
    "rhythm": Target(kind="multiclass", classes={"SR": (), "AF": ()}),
    "dx": Target(kind="multilabel", classes={"LBBB": (), "RBBB": ()}),
    "gone": Target(column="nowhere"),
    "age": Target(kind="regression", column="EF"),
}


def test_every_defect_is_reported_in_one_run_with_its_rows(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("twin", *(f"r{n}" for n in range(2, 40))):
        (tmp_path / f"{name}.hea").touch()
    names = HEADER.split(",")
    lines = [HEADER]
    for row, (change, _) in DEFECTS.items():
        sound = SOUND.format(id=f"e{min(row, 31)}", n=min(row, 31))
        if isinstance(change, str):
            lines.append(change.format(sound=sound))
            continue
        cells = sound.split(",")
        for column, cell in change.items():  # type: ignore[attr-defined]
            cells[names.index(column)] = cell
        lines.append(",".join(cells))
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    reading = ManifestParams(targets=DECLARED, columns={"device": "Cart"}, path_prefix="E:\\")
    found = examine_manifest(tmp_path / "m.csv", reading=reading)
    expected: dict[tuple[str, str], tuple[int, ...]] = {
        ("AF", "the column occurs more than once"): (),
        ("sets.NAME.path_prefix", "no path begins with this prefix"): (),
        ("device", "the file has no column 'Cart'"): (),
        ("sets.NAME.targets.gone", "its column is absent"): (),
        ("sets.NAME.targets.age", "would have the name 'age' of another column"): (),
        ("age", "is not a number"): (25,),
    }
    for row, (_, issues) in DEFECTS.items():
        for issue in issues:
            expected[issue] = (*expected.get(issue, ()), row)
    assert {(issue.column, issue.what): issue.rows for issue in found.issues} == expected
    assert len(expected) >= 28
    assert list(np.array(found.cohort.rows)[~found.there]) == [5, 6, 7, 8, 9]
    with pytest.raises(InputError) as caught:
        load_manifest(tmp_path / "m.csv", reading=reading)
    assert len(caught.value.problems) == len(expected)
    text = str(caught.value)
    for cell in ("secret", "C:\\ECG", "both", "1.23E+11", "03/04", "04.03.21", "300"):
        assert cell not in text.replace(str(tmp_path), ""), "a cell that may identify is shown"


def test_paths_for_other_machines_and_files_of_many_recordings(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "exams.hdf5").touch()
    (tmp_path / "sub" / "Upper.xml").touch()
    (tmp_path / "odd\\name.xml").touch()
    rows = ["a,sub\\exams.hdf5#1", "b,sub/exams.hdf5#2", "c,odd\\name.xml", f"d,{tmp_path}/sub/Upper.xml"]
    (tmp_path / "m.csv").write_text("record_id,path,split\n" + "".join(f"{row},train\n" for row in rows))
    cohort = load_manifest(tmp_path / "m.csv")
    assert list(cohort.table["path"])[:3] == ["sub/exams.hdf5#1", "sub/exams.hdf5#2", "odd\\name.xml"]
    assert "backslashes of 1 paths are read as slashes" in cohort.notes
    (tmp_path / "m.csv").write_text("record_id,path,split\na,sub/upper.xml,train\nb,sub/exams.hdf5/x#2,train\n")
    with pytest.raises(InputError, match=r"rows 2, 3: no such file.*differs in upper and lower case"):
        load_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("record_id,path,split\na,a#b/../../x,train\nb,sub/../../x#1,train\n")
    with pytest.raises(InputError, match=r"rows 2, 3: is outside the root"):
        load_manifest(tmp_path / "m.csv")
    long = "x" * 5000
    (tmp_path / "m.csv").write_text(f"record_id,path,split\na,{long},train\n")
    with pytest.raises(InputError, match="row 2: no such file"):
        load_manifest(tmp_path / "m.csv")


def test_parquet_and_external(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.hea").touch()
    table = {
        "record_id": [1, 2], "path": ["a", "b"], "patient_id": [7.0, np.nan], "split": ["train", "external"],
        "AF": [True, False], "labels": [["X"], []],
    }  # fmt: skip
    pd.DataFrame(table).to_parquet(tmp_path / "m.parquet")
    cohort = load_manifest(tmp_path / "m.parquet")
    assert list(cohort.table["patient_id"]) == ["7", "record:2"]
    assert list(cohort.table["AF"]) == [1, 0]
    assert describe(cohort)["splits"]["external"] == {"recordings": 1, "patients": 1}


def test_one_patient_with_two_sexes_and_blanks_are_noted_by_row(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.hea").touch()
    (tmp_path / "m.csv").write_text("record_id,path,patient_id,sex,split\n1, a ,p,f,train\n2,b,p,m,train\n")
    notes = load_manifest(tmp_path / "m.csv").notes
    assert "path: leading and trailing blanks are removed (row 2)" in notes
    assert "1 patients have recordings of more than one sex (rows 2, 3)" in notes

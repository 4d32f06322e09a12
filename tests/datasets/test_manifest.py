"""Manifests: content, assumptions in the notes, and errors by row."""

from __future__ import annotations

import numpy as np
import pytest

from ecgssl.config import SetParams
from ecgssl.config.split import SplitParams
from ecgssl.datasets.cohort import require_targets
from ecgssl.datasets.load import load
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        (tmp_path / f"r{number}.hea").touch()
    return tmp_path


def write(folder, rows, header="record_id,path,patient_id,split,age,sex,AF,LBBB", name="m.csv"):
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def problems(path, **options):
    with pytest.raises(InputError) as caught:
        load_manifest(path, **options)
    return {p.field: p.what for p in caught.value.problems}, str(caught.value)


def test_cells_mean_what_they_say(folder):
    rows = [
        "a,r0,p1,train,63,F,1,0",
        "b,r1.hea,p1,TRAIN,,male,0,",
        "c,r2,p2,val,95,,U,1",
        "d,r3,p3,test,20,other,-1,0.0",
    ]
    cohort = load_manifest(write(folder, rows))
    table = cohort.table
    assert cohort.targets == ("AF", "LBBB")
    np.testing.assert_array_equal(table["AF"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(table["LBBB"], [0, np.nan, 1, 0])
    assert list(table["split"]) == ["train", "train", "val", "test"]
    assert list(table["sex"]) == ["female", "male", "", "other"]
    np.testing.assert_array_equal(table["age"], [63, np.nan, 90, 20])
    assert any("AF: 2 uncertain" in note for note in cohort.notes)
    assert any("1 age above 89 set to 90" in note for note in cohort.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_mark_and_quotes(folder, separator):
    path = folder / "m.csv"
    text = (
        "\ufeff"
        + separator.join(["record_id", "path", "split", "note"])
        + "\r\n"
        + separator.join(['"a"', "r0", "train", '"x\ny"'])
        + "\r\n\r\n"
    )
    path.write_bytes(text.encode())
    cohort = load_manifest(path)
    assert list(cohort.table["record_id"]) == ["a"]
    assert "note" in cohort.not_binary
    assert any("no patient_id" in note for note in cohort.notes)


def test_everything_wrong_is_reported_at_once_by_row_and_without_patient_ids(folder):
    rows = [
        "a,r0,secret7,train,,,1,0",
        "a,r1,p2,train,,,1,0",
        "c,gone,p3,train,,,1,0",
        "d,,p4,train,,,1,0",
        "e,../x,p5,train,,,1,0",
        "f,r5,p6,dev,,,1,0",
        "g,r6,secret7,test,,,1,0",
        "h,r7,p8,test,300,,1,0",
        "i,r8,p9,test,5,2,1,0",
        ",r9,p10,test,5,,1,0",
    ]
    path = write(folder, rows)
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    text = str(caught.value)
    for part in (
        "rows 2, 3: not unique",
        "row 4: no such file",
        "row 5: is empty",
        "row 6: is outside the root",
        "row 7: 'dev'",
    ):
        assert part in text
    assert "rows 2, 8: patients with recordings in more than one split" in text
    for field, row in (("age", 9), ("sex", 10), ("record_id", 11)):
        assert any(p.field == field and f"row {row}" in p.what for p in caught.value.problems)
    assert "secret7" not in text


def test_patients_in_two_splits_are_an_error_only_if_the_splits_are_kept(folder):
    rows = ["a,r0,p1,train,,,1,0", "b,r1,p1,test,,,0,1", "c,r2,p2,val,,,1,0"]
    path = write(folder, rows)
    for kind in ("auto", "official"):
        found, _ = problems(path, split=SplitParams(kind=kind))
        assert found == {"split": "rows 2, 3: patients with recordings in more than one split"}, kind
    # as in an external evaluation, which evaluates all recordings
    cohort = load_manifest(path, split=SplitParams(kind="external"))
    assert list(cohort.table["split"]) == ["test"] * 3


def test_files_that_are_no_manifest(folder):
    assert "file" in problems(folder / "absent.csv")[0]
    assert set(problems(write(folder, [], header="id,file"))[0]) >= {"record_id", "path"}
    assert "rows" in problems(write(folder, []))[0]
    assert "row length" in problems(write(folder, ["a,r0,p,train,,,1"]))[0]
    assert "AF" in problems(write(folder, ["a,r0,1,1"], header="record_id,path,AF,AF"))[0]
    (folder / "m.csv").write_bytes(b"record_id,path\na,\x81\n")
    assert "encoding" in problems(folder / "m.csv")[0]


def test_split_made_here_is_by_patient_balanced_and_repeatable(folder):
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 200, 1000)
    labels = generator.random(1000) < 0.1
    for number in range(40, 1000):
        (folder / f"r{number}.hea").touch()
    rows = [f"x{i},r{i},p{p},{int(af)}" for i, (p, af) in enumerate(zip(patients, labels, strict=True))]
    path = write(folder, rows, header="record_id,path,patient_id,AF")
    one, two = load_manifest(path, seed=3), load_manifest(path, seed=3)
    assert one.table.equals(two.table)
    assert not one.table["split"].equals(load_manifest(path, seed=4).table["split"])
    table = one.table
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    share = table["split"].value_counts(normalize=True)
    np.testing.assert_allclose([share["train"], share["val"], share["test"]], [0.7, 0.1, 0.2], atol=0.03)
    np.testing.assert_allclose(table.groupby("split")["AF"].mean(), labels.mean(), atol=0.03)
    assert any("split 70/10/20 by patient" in note for note in one.notes)


def test_too_few_patients_to_split(folder):
    path = write(folder, ["a,r0,1", "b,r1,0"], header="record_id,path,AF")
    assert "split" in problems(path)[0]


def test_required_targets(folder):
    rows = [
        "a,r0,p1,train,,,1,x",
        "b,r1,p2,train,,,0,0",
        "c,r2,p3,val,,,1,1",
        "d,r3,p4,test,,,1,1",
        "e,r4,p5,test,,,0,1",
    ]
    cohort = load_manifest(write(folder, rows))
    with pytest.raises(InputError) as caught:
        require_targets(cohort, ["AF", "LBBB", "AFF"])
    found = {p.field: p for p in caught.value.problems}
    assert "split 'val'" in found["AF"].what
    assert "row 2: cells such as 'x'" in found["LBBB"].what
    assert "AF" in found["AFF"].remedy
    require_targets(cohort, ["AF"], splits=("train", "test"))


def test_registry_finds_synthetic_and_cohort(folder):
    rows = ["a,r0,p1,train,,,1,0", "b,r1,p2,test,,,1,0"]
    write(folder, rows, name="manifest.csv")
    assert load(SetParams(), folder).name == "synthetic"
    assert load(SetParams(reader="cohort", manifest=folder / "manifest.csv"), folder / "unused").name == "manifest"


@pytest.mark.real
def test_real_manifest(real_data):
    cohort = load_manifest(real_data / "ptbxl_cohort.csv")
    assert dict(cohort.table["split"].value_counts()) == {"train": 1319, "test": 242, "val": 171}
    require_targets(cohort, ["NORM", "MI", "STTC", "CD", "HYP"])

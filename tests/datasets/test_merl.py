"""Splits of MERL on small files with the known defects: labels by position or by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgssl.config import MerlParams, SetParams
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.public.merl import on_merl_splits
from ecgssl.errors import InputError

META = "ecg_id,patient_id,strat_fold,filename_lr,filename_hr,sub_class"


def cohort(name: str, ids: list[str], labels: dict[str, list[int]]) -> Cohort:
    table = pd.DataFrame({"record_id": ids, "path": ids, "patient_id": ids, "split": "train"} | labels)
    return Cohort(name, Path("x"), table.astype(dict.fromkeys(labels, float)), tuple(labels), "open", ("a note",))


@pytest.fixture
def subclass(tmp_path):
    """Files of four recordings in which train has two labels in another order, and the cohort."""
    folder = tmp_path / "ptbxl/sub_class"
    folder.mkdir(parents=True)
    for split, names, rows in (
        ("train", "AVB,RAO/RAE,ISC", ["1,p,1,,,x,1,0,0", "2,p,1,,,x,0,0,1"]),
        ("val", "ISC,AVB,RAO/RAE", ["3,q,9,,,x,1,0,0"]),
        ("test", "ISC,AVB,RAO/RAE", ["5,r,10,,,x,0,1,0"]),
    ):
        (folder / f"ptbxl_sub_class_{split}.csv").write_text("\n".join([f"{META},{names}", *rows]) + "\n")
    ids = [f"ptbxl-{n:05d}" for n in range(1, 7)]
    truth = {"_AVB": [1, 0, 0, 0, 1, 0], "ISC_": [0, 1, 1, 0, 0, 0], "RAO/RAE": [0] * 6, "NORM": [0, 0, 0, 1, 0, 1]}
    return tmp_path, cohort("ptbxl", ids, truth)


def test_as_a_positional_reader_takes_them(subclass):
    folder, whole = subclass
    found = on_merl_splits(whole, "subclass", folder, "csv")
    assert found.targets == ("ISC", "AVB", "RAO/RAE")
    assert list(found.table["split"]) == ["train", "train", "val", "test"]
    # recording 1 has an AVB, which stands where test has ISC
    expected = [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(found.table[list(found.targets)], expected)
    assert any("so ISC, AVB, RAO/RAE contain other labels there" in note for note in found.notes)


def test_corrected_labels_are_those_of_the_release(subclass):
    folder, whole = subclass
    found = on_merl_splits(whole, "subclass", folder, "corrected")
    assert found.targets == ("ISC_", "_AVB", "RAO/RAE")
    assert list(found.table["split"]) == ["train", "train", "val", "test"]
    np.testing.assert_array_equal(found.table[list(found.targets)], [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert "NORM" not in found.table


def test_names_of_cpsc2018(tmp_path):
    (tmp_path / "icbeb").mkdir()
    head = "patient_id,ecg_id,filename,validation,age,sex,scp_codes,AFIB,VPC,NORM"
    for split, row in (("train", "1,1,A0001"), ("val", "2,2,A0002"), ("test", "3,3,A0003")):
        (tmp_path / f"icbeb/icbeb_{split}.csv").write_text(f"{head}\n{row},False,61.0,0,{{}},1,0,0\n")
    ids = [f"cpsc2018-A000{n}" for n in (1, 2, 3)]
    whole = cohort("cpsc2018", ids, {"NORM": [0] * 3, "AF": [1] * 3, "PVC": [0] * 3, "STE": [0] * 3})
    assert on_merl_splits(whole, "any", tmp_path, "corrected").targets == ("AF", "PVC", "NORM")
    assert on_merl_splits(whole, "any", tmp_path, "csv").targets == ("AFIB", "VPC", "NORM")


def test_substring_labels_of_chapman_are_kept_or_corrected(tmp_path):
    (tmp_path / "chapman").mkdir()
    head = "ecg_path,age,diagnose,AF,AFIB,VB"
    for split, number in (("train", 1), ("val", 2), ("test", 3)):
        row = f"/chapman/WFDBRecords/01/010/JS0000{number}.mat,12,AFIB,1,1,0"
        (tmp_path / f"chapman/chapman_{split}.csv").write_text(f"{head}\n{row}\n")
    ids = [f"ecg_arrhythmia-JS0000{n}" for n in (1, 2, 3)]
    whole = cohort("ecg_arrhythmia", ids, {"AF": [0] * 3, "AFIB": [1] * 3})
    as_written = on_merl_splits(whole, "conditions", tmp_path, "csv")
    assert as_written.table[["AF", "AFIB", "VB"]].to_numpy().tolist() == [[1, 1, 0]] * 3
    corrected = on_merl_splits(whole, "conditions", tmp_path, "corrected")
    assert corrected.table[["AF", "AFIB"]].to_numpy().tolist() == [[0, 1]] * 3
    assert any("MERL columns VB are not used" in note for note in corrected.notes)


def test_what_cannot_be_is_said(subclass):
    folder, whole = subclass
    with pytest.raises(InputError, match="MERL has no split for this set"):
        on_merl_splits(whole, "diagnostic", folder, "csv")
    strangers = whole.table.assign(record_id=[f"ptbxl-{n:05d}" for n in range(90, 96)])
    with pytest.raises(InputError, match="none of the 4 listed recordings"):
        on_merl_splits(replace(whole, table=strangers), "subclass", folder, "csv")
    val = folder / "ptbxl/sub_class/ptbxl_sub_class_val.csv"
    val.write_text(val.read_text().replace("3,q", "1,q"))
    with pytest.raises(InputError, match="1 recordings are listed twice, such as ptbxl-00001"):
        on_merl_splits(whole, "subclass", folder, "csv")
    val.write_text(val.read_text().replace("x,1", "x,2"))
    with pytest.raises(InputError, match="columns ISC contain cells other"):
        on_merl_splits(whole, "subclass", folder, "csv")
    val.unlink()
    with pytest.raises(InputError, match="does not exist"):
        on_merl_splits(whole, "subclass", folder, "csv")


def test_one_split_and_a_set_that_has_it():
    merl = MerlParams(folder=Path("m"))
    with pytest.raises(ValueError, match="merl has no split for reader 'ptb'"):
        SetParams(reader="ptb", root=Path("x"), merl=merl)
    with pytest.raises(ValueError, match="both define a split"):
        SetParams.model_validate(
            {"reader": "ptbxl", "root": "x", "merl": {"folder": "m"}, "split": {"kind": "grouped"}}
        )

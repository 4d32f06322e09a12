"""File names in composed and decomposed Unicode (NFC and NFD) in paths, tables, headers and folders."""

from __future__ import annotations

import os
from unicodedata import normalize

import numpy as np
import pandas as pd
import pytest
from wfdb_files import noise, write_record

from ecgssl.datasets.table.check_paths import check_paths
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError, RecordingError
from ecgssl.inspection.inspect import find
from ecgssl.io import read
from ecgssl.io.listing import find_recordings
from ecgssl.preprocessing.inputs import list_recordings

NAME = "Kühn_Ångström"
FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


@pytest.fixture(params=FORMS, ids=["composed on disk", "decomposed on disk"])
def spelled(request, tmp_path):
    """Return a folder, the name of a record on disk, and the other spelling of folder and record."""
    here, there = request.param
    folder = tmp_path / normalize(here, "Süd")
    path = write_record(folder, normalize(here, NAME), noise(samples=50))
    assert path.with_suffix(".hea").name in os.listdir(folder)  # noqa: PTH208 (names alone)
    other = tmp_path / normalize(there, "Süd") / normalize(there, NAME)
    if other.with_suffix(".hea").exists():
        pytest.skip("this file system does not distinguish the spellings")
    # the header names its signal file in the other spelling
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(path.name, other.name), encoding="utf-8")
    return tmp_path, path, other


def test_files_are_read_by_either_spelling(spelled):
    _, path, other = spelled
    expected = read(path).signal
    for spelling in (other, other.with_suffix(".hea"), other.with_suffix(".dat"), path.with_suffix(".dat")):
        np.testing.assert_array_equal(read(spelling).signal, expected)
        assert len(find([str(spelling)]).recordings) == 1
    np.save(path.with_suffix(".npy"), np.zeros((2, 12, 50)))
    with pytest.raises(RecordingError) as caught:
        read(f"{other}.npy#1")
    assert caught.value.reason != "missing_file"


def test_tables_and_folders(spelled):
    root, path, other = spelled
    cell = other.relative_to(root).as_posix()
    found = check_paths(pd.Series([cell, path.relative_to(root).as_posix(), "Süd/none"]), [2, 3, 4], root)
    assert found.there.tolist() == [True, True, False]
    # both spellings are the same file
    assert {issue.what for issue in found.issues} == {"another row lists the same file", "no such file"}
    table = root / "cohort.csv"
    table.write_text(f"record_id,path\na,{cell}\n", encoding="utf-8")
    (item,) = list_recordings([table]).items
    assert read(item.path).signal.shape == (12, 50)
    # the signal file of the header is not listed as a file of unknown format
    listed = find_recordings(path.parent)
    assert (len(listed.recordings), len(listed.unknown)) == (1, 0)


def test_patterns_and_folders_are_found_by_either_spelling(spelled):
    root, path, other = spelled
    for item in (other.parent, other.parent / f"{other.name[:4]}*.hea", root / other.parent.name / "*.hea"):
        (found,) = list_recordings([item]).items
        assert read(found.path).signal.shape == (12, 50)
    assert find([str(other.parent)]).recordings == (str(path.with_suffix(".hea")),)
    assert find_recordings(other.parent).recordings == (str(path.with_suffix(".hea")),)


def test_segments_and_tables_are_found_by_either_spelling(spelled):
    root, path, other = spelled
    record = path.with_name("all.hea")
    record.write_text(f"all/2 12 500 100\n{other.name} 50\n{path.name} 50\n", encoding="utf-8")
    expected = read(path).signal
    np.testing.assert_array_equal(read(record).signal, np.concatenate([expected, expected], axis=1))
    assert find_recordings(root).recordings == (str(record),), "segments are parts of the record"
    cell = path.relative_to(root).as_posix()
    (root / f"{path.name}.csv").write_text(f"record_id,path\na,{cell}\n", encoding="utf-8")
    assert len(list_recordings([root / f"{other.name}.csv"]).items) == 1


@pytest.mark.parametrize(("here", "there"), FORMS)
def test_patients_columns_and_cells_of_a_table_in_either_spelling(tmp_path, here, there):
    write_record(tmp_path, "a", noise(samples=50))
    write_record(tmp_path, "b", noise(samples=50))
    rows = [f"record_id,path,patient_id,split,sex,{normalize(here, 'Größe')}"]
    for name, form in (("a", here), ("b", there)):
        rows.append(f"{name},{name},{normalize(form, 'Müller')},train,{normalize(form, 'männlich')},"
                    f"{normalize(form, 'erhöht')}")  # fmt: skip
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    declared = "targets: {Größe: {positive: erhöht, negative: normal}}\nvalues: {sex: {männlich: male}}\n"
    (tmp_path / "m.targets.yaml").write_text(normalize(there, declared), encoding="utf-8")
    cohort = load_manifest(tmp_path / "m.csv")
    assert cohort.targets == (normalize("NFC", "Größe"),)
    assert cohort.table[cohort.targets[0]].tolist() == [1, 1]
    assert cohort.table["patient_id"].nunique() == 1
    assert cohort.table["sex"].tolist() == ["male", "male"]
    split = (tmp_path / "m.csv").read_text(encoding="utf-8").replace("b,b,", "c,b,").replace("train", "test", 1)
    (tmp_path / "m.csv").write_text(split, encoding="utf-8")
    with pytest.raises(InputError, match="split"):
        load_manifest(tmp_path / "m.csv")

"""File names in composed and decomposed Unicode (NFC and NFD) in paths, tables, headers and folders."""

from __future__ import annotations

import os
from unicodedata import normalize

import numpy as np
import pandas as pd
import pytest
from wfdb_files import noise, write_record

from ecgssl.datasets.table.check_paths import check_paths
from ecgssl.errors import RecordingError
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

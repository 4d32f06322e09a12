"""Inputs of scoring: relative paths of manifests, and names in composed and decomposed Unicode."""

from __future__ import annotations

import pytest
from wfdb_files import noise, write_record

from ecgssl.errors import InputError
from ecgssl.preprocessing.inputs import list_recordings


@pytest.fixture
def cohort(tmp_path):
    """Return a manifest in one folder and the folder of its recordings."""
    write_record(tmp_path / "archive" / "ward", "r1", noise(samples=50))
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "cohort.csv"
    table.write_text("record_id,path\na,ward/r1\nb,ward/r2.hea\n")
    return table, tmp_path / "archive"


def test_relative_paths_start_from_the_root(cohort, monkeypatch):
    table, archive = cohort
    with pytest.raises(InputError, match=r"path: none of the 2 files exists; .*tables\. .*with --root$"):
        list_recordings([table])
    # single missing files get a row in the output
    listed = list_recordings([table], archive)
    assert [item.path for item in listed.items] == [str(archive / "ward/r1"), str(archive / "ward/r2.hea")]
    monkeypatch.chdir(archive)
    with pytest.raises(InputError, match=r"start from the current folder\. Add --root \.$"):
        list_recordings([table])
    assert list_recordings([table], ".").items[0].path == "ward/r1"


def test_absolute_paths_need_no_root(cohort):
    table, archive = cohort
    table.write_text(f"record_id,path\na,{archive}/ward/r1\n")
    assert len(list_recordings([table]).items) == 1
    table.write_text(f"record_id,path\na,{archive}/ward/none\n")
    with pytest.raises(InputError, match="none of the 1 files exists"):
        list_recordings([table])

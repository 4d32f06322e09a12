"""Fingerprint of raw data: changes with the data only, and agrees with checksums of shell tools."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ecgssl.config import SetParams
from ecgssl.datasets.fingerprint import fingerprint
from ecgssl.errors import InputError
from ecgssl.files import canonical_json, sha256_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, size in {
        "r/00/a.hea": 10,
        "r/00/a.dat": 100,
        "r/00/a.b.hea": 7,
        "r/01/b.mat": 5,
        "r/01/c.xml": 3,
    }.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x" * size)
    (tmp_path / "set" / "cohort.csv").write_text("record_id,path\n1,r/00/a\n")
    return tmp_path / "set"


def _cohort(root: Path) -> SetParams:
    return SetParams(reader="cohort", root=root, manifest=root / "cohort.csv")


def test_files_and_bytes_of_the_listed_records_are_counted(root: Path) -> None:
    paths = ["r/00/a", "r/00/a.hea", "r/01/b.mat", "r/01/c.xml", "r/02/gone"]
    found = fingerprint(_cohort(root), 0, paths)
    digest = hashlib.sha256((root / "cohort.csv").read_bytes()).hexdigest()
    assert found == {
        "reader": "cohort",
        "lists": {"cohort.csv": digest},
        "records": 4,
        "files": 4,
        "bytes": 118,
        "missing": 1,
    }


def test_a_name_with_a_dot_is_its_own_record(root: Path) -> None:
    assert fingerprint(_cohort(root), 0, ["r/00/a.b"])["bytes"] == 7


def test_it_is_the_same_in_another_place_and_at_another_time(root: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    os.utime(moved / "r/00/a.dat", (0, 0))
    paths = ["r/00/a", "r/01/b"]
    one, other = fingerprint(_cohort(root), 0, paths), fingerprint(_cohort(moved), 1, reversed(paths))
    assert canonical_json(one) == canonical_json(other)
    assert str(tmp_path) not in canonical_json(one)


@pytest.mark.parametrize("change", ["r/00/a.dat", "cohort.csv", "SHA256SUMS.txt"])
def test_it_changes_with_the_data(root: Path, change: str) -> None:
    before = fingerprint(_cohort(root), 0, ["r/00/a"])
    with (root / change).open("a") as file:
        file.write("y")
    assert fingerprint(_cohort(root), 0, ["r/00/a"]) != before


def test_what_declares_the_targets_belongs_to_the_data(root: Path) -> None:
    before = fingerprint(_cohort(root), 0, ["r/00/a"])
    (root / "cohort.targets.yaml").write_text("targets: {}\n")
    beside = fingerprint(_cohort(root), 0, ["r/00/a"])
    assert beside["lists"].keys() - before["lists"].keys() == {"cohort.targets.yaml"}
    (root / "cohort.targets.yaml").rename(root / "mine.yaml")
    named = SetParams(reader="cohort", manifest=root / "cohort.csv", targets_file=root / "mine.yaml")
    assert fingerprint(named, 0, ["r/00/a"])["lists"]["mine.yaml"] == beside["lists"]["cohort.targets.yaml"]


def test_missing_lists_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fingerprint(SetParams(reader="ptbxl", root=tmp_path), 0)
    assert [Path(p.where).name for p in caught.value.problems] == ["ptbxl_database.csv", "scp_statements.csv"]


def test_tables_and_members_of_any_public_set(root: Path) -> None:
    """Tables of CPSC2018 are one folder below the root, and a file with several recordings counts once."""
    (root / "r/REFERENCE.csv").write_text("Recording,First_label\n")
    paths = ["r/00/a", "r/01/c.xml#1", "r/01/c.xml#2"]
    found = fingerprint(SetParams(reader="cpsc2018", root=root), 0, paths)
    assert list(found["lists"]) == ["cohort.csv", "r/REFERENCE.csv"]
    assert (found["records"], found["files"], found["missing"]) == (2, 3, 0)
    assert fingerprint(SetParams(reader="mimic_iv_ecg", root=root), 0, paths)["lists"] == found["lists"]


def test_the_synthetic_set_is_its_parameters() -> None:
    first = fingerprint(SetParams(), 0)
    assert json.loads(canonical_json(first)) == first
    assert first["synthetic"]["patients"] == SetParams().synthetic.patients
    assert fingerprint(SetParams(), 1) != first
    assert fingerprint(SetParams(synthetic={"patients": 3}), 0) != first


def test_on_the_official_layout(real_data: Path) -> None:
    root = real_data / "ptbxl_500"
    if not (root / "ptbxl_database.csv").exists():
        pytest.skip("no PTB-XL in its official layout among the real recordings")
    paths = [p for p in pd.read_csv(root / "ptbxl_database.csv")["filename_hr"] if (root / f"{p}.hea").exists()]
    found = fingerprint(SetParams(reader="ptbxl", root=root), 0, paths)
    sizes = [(root / f"{p}{s}").stat().st_size for p in paths for s in (".hea", ".dat")]
    assert (found["files"], found["bytes"], found["missing"]) == (2 * len(paths), sum(sizes), 0)
    assert found["lists"]["ptbxl_database.csv"] == sha256_of(root / "ptbxl_database.csv")

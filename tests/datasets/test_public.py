"""Base class of the public sets: registry, recognition of the layout, missing files, known counts of a release."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from ecgssl.config.public_sets import PUBLIC_SETS
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.public import release_counts
from ecgssl.datasets.public.public_set import PublicSet, public_set
from ecgssl.errors import InputError


class Toy(PublicSet):
    name = "toy"
    title = "Toy"
    licence = "CC0"
    citation = "none"
    url = "https://toy.invalid/"
    label_sets = ("some", "all")
    landmark = "list.csv"

    def cohort(self) -> Cohort:
        raise NotImplementedError


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "list.csv").touch()
    for number in range(40):
        folder = tmp_path / f"r/{number // 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.hea").touch()
    return Toy(tmp_path)


PATHS = [f"r/{number // 10}/{number:02d}" for number in range(40)]


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_every_set_is_whole(name, tmp_path):
    """Every registered set has all attributes and known counts, and rejects a folder without its layout."""
    found = public_set(name)
    assert found.name == name
    assert release_counts.release_counts(name).get("recordings"), (
        f"add the number of recordings of {name!r} to ecgssl/datasets/public/tables/release_counts.csv"
    )
    assert found.url.startswith("https://")
    for text in (found.title, found.licence, found.citation, found.landmark):
        assert text.strip()
    assert len(set(found.label_sets)) == len(found.label_sets) > 0
    module = importlib.import_module(found.__module__)
    assert module.__doc__
    with pytest.raises(InputError) as caught:
        found(tmp_path, labels="no such labels")
    assert {problem.field for problem in caught.value.problems} == {"sets.NAME.root", "no such labels"}


LAYOUTS = {
    "ptbxl_database.csv": {"ptbxl"},
    "record_list.csv": {"mimic_iv_ecg"},
    "WFDBRecords": {"ecg_arrhythmia", "ningbo"},
    "training": {"cinc2020", "cinc2021", "georgia"},
    "deep/A0001.mat": {"cpsc2018"},
    "patient001": {"ptb"},
    "I01.hea": {"incart"},
    "exams.csv": {"code15"},
    "metadata.csv": {"sph"},
    "echonext_metadata_100k.csv": {"echonext"},
    "ludb.csv": {"ludb"},
}
"""Datasets by a file or folder that identifies them."""


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_the_root_of_another_release_is_named(name, tmp_path):
    """A folder with the layout of another dataset is refused, and the message names the reader that fits."""
    for number, (landmark, readers) in enumerate(LAYOUTS.items()):
        root = tmp_path / str(number) / "far/away/release"
        (root / landmark).parent.mkdir(parents=True)
        (root / landmark).touch() if "." in landmark else (root / landmark).mkdir()
        if name in readers:
            assert public_set(name)(root).root == root
            continue
        with pytest.raises(InputError) as caught:
            public_set(name)(root)
        (problem,) = caught.value.problems
        assert (problem.where, problem.field) == (str(root), "sets.NAME.root")
        assert all(repr(reader) in str(problem.remedy) for reader in readers)
        assert "sets.NAME.reader" in str(problem.remedy)
    assert set().union(*LAYOUTS.values()) == set(PUBLIC_SETS)


def test_nothing_is_absent(toy):
    assert toy.absent(toy.root / "list.csv", PATHS) == []
    assert toy.absent(toy.root / "list.csv", [f"{path}.mat" for path in PATHS]) == []


def test_absent_recordings_are_counted_with_their_rows(toy):
    (toy.root / "r/1/13.hea").unlink()
    (problem,) = toy.absent(toy.root / "list.csv", [*PATHS, "q/0/41"])
    assert "2 of 41 recordings" in problem.what
    assert "rows 15, 42" in problem.what
    assert toy.url in problem.remedy
    (problem,) = toy.absent(toy.root / "list.csv", PATHS, rows=range(100, 140), field="path", remedy="Look again")
    assert (problem.field, problem.remedy) == ("path", "Look again")
    assert "row 113)" in problem.what


@pytest.mark.parametrize("path", ["../r/0/00", "r/0/../../../etc/00", "/etc/hosts"])
def test_paths_stay_under_the_root(toy, path):
    (problem,) = toy.absent(toy.root / "list.csv", [*PATHS, path], most=2)
    assert "row 42" in problem.what


def test_only_a_sample_is_checked_if_requested(toy):
    for number in range(20, 40):
        (toy.root / f"r/{number // 10}/{number:02d}.hea").unlink()
    (problem,) = toy.absent(toy.root / "list.csv", PATHS, most=4)
    assert "2 of 4 checked" in problem.what
    assert toy.absent(toy.root / "list.csv", PATHS[:20], most=4) == []


@pytest.fixture
def counts(monkeypatch):
    rows = [("", "recordings", 6), ("", "patients", 5), ("one", "train", 3), ("one", "A", 2), ("one", "unlabelled", 1)]
    rows += [("one", "patients of train", 2), ("one", "targets", 2), ("two", "B", 99)]
    table = [{"set": "toy", "labels": label, "counted": what, "count": str(count)} for label, what, count in rows]
    monkeypatch.setattr(release_counts, "package_table", lambda _: table)


def whole() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "d", "e"],
            "split": ["train", "train", "train", "val", "test", "test"],
            "A": [1, 0, 1, 0, 0, np.nan],
            "B": [0, 0, 0, 0, 1, np.nan],
        }
    )


def test_a_whole_release_agrees(counts):
    assert release_counts.compare(whole(), ["A", "B"], "toy", "one", "list.csv") == []
    assert release_counts.share(6, "toy") == "6 recordings"


def test_a_table_that_is_not_the_release_is_named(counts):
    table = whole()
    table.loc[0, "A"] = 0
    table.loc[0, "patient_id"] = "z"
    (problem,) = release_counts.compare(table, ["A", "B"], "toy", "one", "list.csv")
    assert "A 1 (2)" in problem.what
    assert "patients 6 (5)" in problem.what
    assert "patients of train 3 (2)" in problem.what
    assert "unlabelled" not in problem.what


def test_a_part_of_a_release_is_not_compared(counts):
    assert release_counts.compare(whole().head(4), ["A"], "toy", "one", "list.csv") == []
    assert release_counts.share(4, "toy") == "4 of 6 recordings"


def test_options_of_other_sets_are_refused_together(tmp_path):
    """Options that have no effect on a set are errors."""
    (tmp_path / "list.csv").touch()
    with pytest.raises(InputError) as caught:
        Toy(tmp_path, labels="none", subsets=["half"], standardised_as_mv=True)
    assert {problem.where for problem in caught.value.problems} == {
        "sets.NAME.labels",
        "sets.NAME.subsets",
        "sets.NAME.standardised_as_mv",
    }

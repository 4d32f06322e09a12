"""Addition of a public set: one class, rows in the tables, one line in the registry."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from wfdb_files import noise, write_record

from ecgssl.config import SetParams, load_params, parse_params
from ecgssl.config.public_sets import PUBLIC_SETS
from ecgssl.datasets import public
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import add_folds, hashed_folds
from ecgssl.datasets.load import load
from ecgssl.datasets.public import release_counts
from ecgssl.datasets.public.public_set import PublicSet, Source, public_set
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError


class Mini(PublicSet):
    """A minimal public set."""

    name = "mini"
    title = "Mini"
    licence = "CC0"
    citation = "Example 2026"
    url = "https://mini.invalid/"
    source = Source("https://mini.invalid/files/")
    label_sets = ("af",)
    landmark = "list.csv"

    def cohort(self) -> Cohort:
        """Return the recordings of ``list.csv``."""
        source = self.root / self.landmark
        listed = read_table(source, ("name", "af"), self.url)
        problems = self.absent(source, listed["name"].tolist())
        if problems:
            raise InputError(problems)
        table = pd.DataFrame({"record_id": "mini-" + listed["name"], "path": listed["name"]})
        table["patient_id"] = table["record_id"]
        add_folds(table, hashed_folds(listed["name"].tolist(), self.name, 10) + 1)
        notes = [release_counts.share(len(table), self.name)]
        return self.checked_cohort(table, ("af",), listed[["af"]].astype(float), notes, source)


class WithoutSource(PublicSet):
    name = "mini"
    title = "Mini"
    licence = "CC0"
    url = "https://mini.invalid/"
    label_sets = ("af",)
    landmark = "list.csv"

    def cohort(self) -> Cohort:
        raise NotImplementedError


@pytest.fixture
def release(tmp_path):
    names = [f"r{number:02d}" for number in range(20)]
    for name in names:
        write_record(tmp_path, name, noise(samples=600))
    pd.DataFrame({"name": names, "af": np.arange(20) % 2}).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def register(monkeypatch, name="mini", attribute="Mini"):
    monkeypatch.setitem(PUBLIC_SETS, name, f"{__name__}:{attribute}")


def test_a_registered_class_becomes_a_cohort(monkeypatch, release):
    """No other change is needed: parameters accept the name, and the cohort has labels, splits and notes."""
    register(monkeypatch)
    params = SetParams(reader="mini", root=release)
    cohort = load(params, "unused")
    assert (cohort.name, len(cohort), cohort.targets) == ("mini", 20, ("af",))
    assert set(cohort.table["split"]) <= {"train", "val", "test"}
    assert cohort.notes == ("20 recordings",)  # the total is unknown without rows in release_counts.csv


def test_rows_of_the_counts_table_are_compared(monkeypatch, release):
    register(monkeypatch)
    rows = [{"set": "mini", "labels": "", "counted": "recordings", "count": "20"}]
    rows.append({"set": "mini", "labels": "af", "counted": "af", "count": "11"})
    monkeypatch.setattr(release_counts, "package_table", lambda _: rows)
    with pytest.raises(InputError, match=r"af 10 \(11\)"):
        load(SetParams(reader="mini", root=release), "unused")


def test_a_forgotten_attribute_is_named(monkeypatch, release):
    register(monkeypatch, attribute="WithoutSource")
    with pytest.raises(TypeError, match="WithoutSource lacks citation, source"):
        load(SetParams(reader="mini", root=release), "unused")


def test_another_name_than_in_the_registry_is_an_error(monkeypatch):
    register(monkeypatch, name="maxi")
    with pytest.raises(TypeError, match="has the name 'mini'; use one name for both"):
        public_set("maxi")


def test_a_forgotten_line_in_the_registry_is_an_error_of_the_parameters(release, tmp_path):
    tasks = {"rhythm": {"targets": ["af"]}}
    for name, hint in (("mini", "Known sets: synthetic, cohort, cinc2020"), ("ptbx", "Did you mean 'ptbxl'")):
        with pytest.raises(InputError) as caught:
            parse_params({"sets": {"mine": {"reader": name, "root": str(release)}}, "tasks": tasks})
        (problem,) = caught.value.problems
        assert problem.field == "sets.mine.reader"
        assert "is not a known reader" in problem.what
        assert hint in problem.what
    file = tmp_path / "params.yaml"
    file.write_text("tasks: {rhythm: {targets: [af]}}\n")
    with pytest.raises(InputError, match=r"sets\.mine\.reader: is not a known reader"):
        load_params(file, ["sets.mine.reader=mini"])
    with pytest.raises(InputError, match="mini: is not a public set"):
        public_set("mini")


def test_every_class_of_a_set_is_registered():
    """A class without a line in the registry could not be used."""
    folder = Path(public.__file__).parent
    classes = {
        value
        for path in folder.glob("*.py")
        for value in vars(import_module(f"ecgssl.datasets.public.{path.stem}")).values()
        if isinstance(value, type) and issubclass(value, PublicSet) and getattr(value, "name", None)
    }
    assert classes == {public_set(name) for name in PUBLIC_SETS}, "add the class to ecgssl/config/public_sets.py"

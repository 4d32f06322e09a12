"""Target kinds are saved in a store and determine the kind of the task."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from store_cohort import KEY, make_cohort, params

from ecgssl.config import ManifestParams, Target
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.finetuning.task import Task, resolve_task, task_values
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.store import Store

TARGETS = {
    "rhythm": Target(kind="multiclass", column="Rhythmus", classes={"SR": ("Sinus",), "AF": ()}),
    "ef": Target(kind="regression", unit="%", range=(5, 90)),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    manifest = make_cohort(tmp_path_factory.mktemp("cohort"))
    lines = manifest.read_text().splitlines()
    extra = [f",{('Sinus', 'AF', '')[n % 3]},{50 + n}" for n in range(20)]
    lines = [lines[0] + ",Rhythmus,ef", *(line + more for line, more in zip(lines[1:], extra, strict=True))]
    manifest.write_text("\n".join(lines) + "\n")
    cohort = load_manifest(manifest, reading=ManifestParams(targets=TARGETS))
    out = tmp_path_factory.mktemp("store") / "processed"
    preprocess(cohort, params(), out, KEY, progress=False)
    return Store(out)


def test_a_store_says_what_its_numbers_mean(store):
    assert store.targets == ("rhythm", "ef", "AF")
    assert store.about["target_kinds"] == {
        "rhythm": {"kind": "multiclass", "classes": ["SR", "AF"]},
        "ef": {"kind": "regression", "unit": "%", "range": [5.0, 90.0]},
    }
    assert (store.kinds["rhythm"].kind, list(store.kinds["rhythm"].classes or {})) == ("multiclass", ["SR", "AF"])
    assert (store.kinds["ef"].unit, store.kinds["ef"].range) == ("%", (5, 90))
    numbers = store.index["record_id"].str.removeprefix("rec").astype(int).to_numpy()
    np.testing.assert_array_equal(store.index["ef"], 50 + numbers)
    np.testing.assert_array_equal(store.index["rhythm"], np.array([0, 1, np.nan])[numbers % 3])
    assert "Sinus" not in (store.path / "spec.json").read_text(), "cells of the manifest must not be stored"


def test_a_task_is_of_one_kind(store):
    with pytest.raises(InputError) as caught:
        resolve_task(store, ["AF", "ef", "rhythm"])
    assert {problem.field: problem.what for problem in caught.value.problems} == {
        "AF": "is binary; other targets of the task differ",
        "ef": "is regression; other targets of the task differ",
        "rhythm": "is multiclass; other targets of the task differ",
    }
    assert resolve_task(store, ["AF"], "fibrillation") == Task("fibrillation", ("AF",), "multilabel")
    assert resolve_task(store, ["ef"]) == Task("ef", ("ef",), "regression", units=("%",))
    rhythm = resolve_task(store, ["rhythm"])
    assert rhythm == Task("rhythm", ("rhythm",), "multiclass", classes=("SR", "AF"))
    assert rhythm.outputs == ("rhythm:SR", "rhythm:AF")
    codes = store.index["rhythm"].to_numpy()
    values = task_values(store, rhythm)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(codes)[:, None].repeat(2, axis=1))
    np.testing.assert_array_equal(values[codes == 1], np.tile([0.0, 1.0], ((codes == 1).sum(), 1)))
    for targets, reported in (
        ([], "the list is empty"),
        (["AF", "AF"], "AF listed more than once"),
        (["afib"], "afib: is not a"),
    ):
        with pytest.raises(InputError, match=reported):
            resolve_task(store, targets)


def test_older_stores_have_binary_targets_and_damaged_kinds_are_told(store, tmp_path):
    copy = shutil.copytree(store.path, tmp_path / "store")
    about = json.loads((copy / "spec.json").read_text())
    for kinds, reported in (({"ef": {"kind": "odd"}}, "target_kinds"), ([1], "target_kinds")):
        (copy / "spec.json").write_text(json.dumps(about | {"target_kinds": kinds}))
        with pytest.raises(InputError, match=reported):
            Store(copy)
    del about["target_kinds"]
    (copy / "spec.json").write_text(json.dumps(about))
    assert Store(copy).kinds == {}

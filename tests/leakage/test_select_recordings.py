"""Selection of pretraining recordings: copies are used once, and downstream patients and waveforms are left out."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest
from bare_store import SPEC, bare_store

from ecgssl.config import parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.leakage.select_recordings import select_recordings
from ecgssl.leakage.selection import Selection, SetSelection
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.content_digest import content_digest
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store


def left_out(selection):
    return {
        name: {why: rows.tolist() for why, rows in chosen.left_out.items()} for name, chosen in selection.sets.items()
    }


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return two pretraining sets and a downstream set.

    Set a contains waveform 1 twice. Set b contains copies of 3 (train of a), 5 (val of a), 102 (test) and 103 (external),
    and a recording of patient 101 (val); its patients have the numbering of the downstream set.
    """
    folder = tmp_path_factory.mktemp("sets")
    a = bare_store(folder / "a", [1, 2, 3, 1, 5, 6], ["train", "train", "train", "train", "val", "test"])
    b = bare_store(
        folder / "b", [3, 10, 102, 5, 103, 11, 12], ["train"] * 6 + ["val"],
        [50, 101, 52, 53, 54, 55, 102], numbering="shared",
    )  # fmt: skip
    down = bare_store(
        folder / "down", [100, 101, 102, 103], ["train", "val", "test", "external"], numbering="shared",
        labels={"AF": [0, 1, 0, 1]},
    )  # fmt: skip
    return {"a": a, "b": b, "down": down}


def test_reasons_and_counts(stores):
    selection = select_recordings(stores, ["a", "b"], {"rhythm": "down"})
    assert left_out(selection) == {
        "a": {"duplicate of a": [3]},
        "b": {
            "patient in val of down": [1],
            "waveform in test of down": [2],
            "waveform in external of down": [4],
            "duplicate of a": [0, 3],
        },
    }
    assert selection.counts(stores) == {
        "a": {"in": 7, "stored": 6, "rejected": 1, "duplicates": 1, "left_out": 0, "left_out: duplicate of a": 1, "train": 3},
        "b": {
            "in": 8, "stored": 7, "rejected": 1, "duplicates": 2, "left_out": 3, "left_out: patient in val of down": 1,
            "left_out: waveform in test of down": 1, "left_out: waveform in external of down": 1,
            "left_out: duplicate of a": 2, "train": 1,
        },
    }  # fmt: skip
    corpus = Corpus({name: stores[name] for name in "ab"}, selection.left_out)
    assert corpus.rows("train").tolist() == [0, 1, 2, 6 + 5]


def test_the_first_set_keeps_a_shared_recording(stores):
    found = left_out(select_recordings(stores, ["b", "a"], {"rhythm": "down"}))
    assert found["a"] == {"duplicate of a": [3], "duplicate of b": [2, 4]}
    assert "duplicate of a" not in found["b"]


def test_a_downstream_set_can_be_pretrained_on(stores):
    """Its own training recordings are used, and those of other sets that are in its validation or test are not."""
    found = left_out(select_recordings(stores, ["down", "b"], {"rhythm": "down"}))
    assert found["down"] == {}
    assert found["b"]["waveform in test of down"] == [2]


def test_a_set_without_a_role_is_held_out_too(stores):
    """A store that is neither pretrained on nor used by a task can be an external test set."""
    assert left_out(select_recordings(stores, ["b"], {}))["b"].keys() == {
        "patient in val of down", "waveform in test of down", "waveform in external of down", "waveform in val of a",
    }  # fmt: skip
    alone = {"b": stores["b"]}
    assert left_out(select_recordings(alone, ["b"], {})) == {"b": {}}


def test_what_is_written_is_read_and_changes_are_counted(stores, tmp_path):
    first = select_recordings(stores, ["a", "b"], {}, targets=["MI", "AF"], init="digest")
    first.write(tmp_path / "one.json")
    back = Selection.read(tmp_path / "one.json")
    assert (left_out(back), back.targets, back.init) == (left_out(first), ("AF", "MI"), "digest")
    back.write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert list(back.sets) == ["a", "b"]
    assert first.changes(back) == []
    fewer = select_recordings({name: stores[name] for name in "ab"}, ["a", "b"], {}, targets=["MI", "AF"])
    assert fewer.changes(back) == ["b: 0 more recordings are left out of pretraining, 3 are used again"]
    assert first.changes(fewer) == ["b: 3 more recordings are left out of pretraining, 0 are used again"]
    one = Selection({"b": SetSelection("other", {})})
    assert first.changes(one) == [
        "a: new, 1 recordings are left out of pretraining",
        "b: the store has changed, 5 recordings are left out of pretraining",
    ]
    assert one.changes(first)[-1] == "a: no longer used for pretraining"
    first.require_stores({name: stores[name] for name in "ab"}, "s.json")
    with pytest.raises(InputError) as caught:
        one.require_stores({name: stores[name] for name in "ab"}, "s.json")
    assert [p.field for p in caught.value.problems] == ["a", "b"]


@pytest.mark.parametrize("content", ["", "[]", '{"format": "ecgssl-selection", "version": 2}', "{}"])
def test_a_damaged_selection_is_refused(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(InputError, match=r"s\.json: selection: is missing, damaged .*dvc repro select"):
        Selection.read(tmp_path / "s.json")
    with pytest.raises(InputError, match="is missing"):
        Selection.read(tmp_path / "none.json")


def test_overlap_error_lists_the_recordings(stores):
    with pytest.raises(InputError) as caught:
        select_recordings(stores, ["a", "b"], {"rhythm": "down"}, "error")
    assert [p.what for p in caught.value.problems] == [
        "b-1 of b has its patient in val of down",
        "b-2 of b has its waveform in test of down",
        "b-4 of b has its waveform in external of down",
    ]
    assert all("pretrain.overlap to drop" in p.remedy for p in caught.value.problems)
    # duplicates are no error
    select_recordings({name: stores[name] for name in "ab"}, ["a", "b"], {}, "error")


def test_a_corpus_that_is_entirely_in_downstream_sets_is_refused(stores, tmp_path, caplog):
    copies = bare_store(tmp_path / "copies", [101, 102], name="copies")
    with pytest.raises(
        InputError, match=r"copies: every recording is left out \(1 waveform in val of down, 1 wave.*other"
    ):
        select_recordings({"copies": copies, "down": stores["down"]}, ["copies"], {"t": "down"})
    # with another set, pretraining is possible, and a warning is logged
    with caplog.at_level(logging.WARNING, "ecgssl"):
        select_recordings({**stores, "copies": copies}, ["a", "copies"], {"t": "down"})
    assert "pretraining uses no recording of copies: 1 waveform in val of down" in caplog.text


def test_sets_without_training_recordings_or_codes_are_all_listed(stores, tmp_path):
    empty = {name: bare_store(tmp_path / name, [1], "test") for name in ("x", "y")}
    with pytest.raises(InputError) as caught:
        select_recordings({**stores, **empty}, ["a", "x", "y"], {})
    assert [p.where for p in caught.value.problems] == [str(store.path) for store in empty.values()]
    assert "has no recordings in split train" in str(caught.value)
    old = [bare_store(tmp_path / name, [1, 2]) for name in ("old1", "old2")]
    for store in old:
        store.index["waveform_hash"] = "00" * 16
    with pytest.raises(InputError) as caught:
        select_recordings({"old1": old[0], "old2": old[1]}, ["old1", "old2"], {})
    assert [p.where for p in caught.value.problems] == [str(store.path) for store in old]


def test_settings_of_all_sets_must_agree(stores, tmp_path):
    other = bare_store(tmp_path / "other", [70], spec=SPEC.model_copy(update={"duration": 4.0}))
    with pytest.raises(ContractMismatch, match="duration"):
        select_recordings({**stores, "other": other}, ["a"], {"t": "other"})


def test_the_digest_depends_on_what_pretraining_reads(tmp_path):
    def digest(folder, targets=(), **changes):
        given = {"waveforms": [1, 2, 3], "splits": "train", "patients": [1, 1, 2], "labels": {"AF": [0, 1, np.nan]}}
        return content_digest(bare_store(tmp_path / folder, **{**given, **changes}, name="set"), targets)

    base = digest("base")
    assert digest("shards", labels={"AF": [1, 1, 1], "MI": [0, 0, 0]}) == base
    others = [
        digest("waveform", waveforms=[1, 2, 4]), digest("split", splits=["train", "val", "train"]),
        digest("patient", patients=[1, 2, 2]), digest("probe", ["AF"]), digest("labels", ["AF"], labels={"AF": [1, 1, 1]}),
        digest("lacking", ["AF"], labels={}),
    ]  # fmt: skip
    assert len({base, *others}) == 7


def test_the_file_has_no_record_ids(stores, tmp_path):
    select_recordings(stores, ["a", "b"], {"t": "down"}).write(tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()
    assert json.loads(text)["sets"]["a"]["left_out"] == {"duplicate of a": [3]}
    assert "a-3" not in text


@pytest.mark.real
def test_recordings_of_the_challenge_are_not_used_for_pretraining_twice(real_data, tmp_path):
    """HR00001 to HR00010 are ecg_id 1 to 10 of PTB-XL. Of these, 8 and 10 are in fold 9 (val), and 9 is in fold 10 (test)."""
    folds = pd.read_csv(real_data / "ptbxl_500/ptbxl_database.csv", index_col="ecg_id")["strat_fold"]
    splits = {9: "val", 10: "test"}
    rows = {
        "ptbxl": [f"p{i},ptbxl_500/records100/00000/{i:05d}_lr,{splits.get(folds[i], 'train')}" for i in range(1, 31)],
        "cinc": [f"HR{i},cinc2021/PTB_PTBXL/HR{i:05d},train" for i in range(1, 11)],
    }
    params = parse_params({"tasks": {"t": {"targets": ["AF"]}}, "store": {"workers": 1, "max_rejected_fraction": 0}})
    stores = {}
    for name, lines in rows.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["record_id,path,split", *lines]))
        cohort = load_manifest(tmp_path / f"{name}.csv", real_data, name=name)
        preprocess(cohort, params, tmp_path / name, bytes(32), progress=False)
        stores[name] = Store(tmp_path / name)
    selection = select_recordings(stores, ["ptbxl", "cinc"], {"t": "ptbxl"})
    assert left_out(selection) == {
        "ptbxl": {},
        "cinc": {
            "waveform in val of ptbxl": [7, 9],
            "waveform in test of ptbxl": [8],
            "duplicate of ptbxl": [*range(7)],
        },
    }
    alone = select_recordings(stores, ["cinc"], {"t": "ptbxl"})
    assert left_out(alone) == {"cinc": {"waveform in val of ptbxl": [7, 9], "waveform in test of ptbxl": [8]}}
    assert alone.counts(stores)["cinc"]["train"] == 7

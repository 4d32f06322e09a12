"""Stage select: files for the stages that follow, numbers of recordings, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bare_store import SPEC, bare_store
from command_line import ecgssl

from ecgssl.config import Params, parse_params
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.files import atomic_directory
from ecgssl.leakage.identities import Identities
from ecgssl.leakage.selection import Selection
from ecgssl.pretraining.loop import build_model
from ecgssl.stages.pretrain import read_selection
from ecgssl.stages.select import select_sets
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import write_model
from ecgssl.training.model_folder import CONFIG

SPLITS = ["train", "train", "val", "test"]
LABELS = {"AF": [0.0, 1.0, 0.0, 1.0], "MI": [1.0, 0.0, 1.0, 0.0]}


def make_params(**changes) -> Params:
    return parse_params(
        {
            "sets": {name: {"reader": "synthetic"} for name in ("corpus", "more", "clinic", "outside")},
            "signal": SPEC.model_dump(mode="json"),
            "pretrain": {"sets": ["corpus", "more"], "probe": {"targets": []}, **changes.pop("pretrain", {})},
            "tasks": {"af": {"set": "clinic", "targets": ["AF"]}},
            "tracking": {"backend": "none"},
            **changes,
        }
    )


def make_stores(folder: Path, **labels) -> dict[str, Store]:
    """Return four stores.

    In ``more``, waveform 0 is a copy from ``corpus``, 12 is in test of ``clinic``, and the patient of 32 in ``outside``.
    """
    return {
        "corpus": bare_store(folder / "corpus", [*range(6), 8, 5], ["train"] * 6 + ["val", "train"]),
        "more": bare_store(
            folder / "more",
            [20, 0, 12, 23, 21, 22],
            ["train"] * 5 + ["val"],
            [20, 50, 51, 32, 21, 22],
            numbering="of-outside",
        ),
        "clinic": bare_store(folder / "clinic", [9, 10, 11, 12], SPLITS, labels=labels or LABELS),
        "outside": bare_store(folder / "outside", [30, 31, 32], "external"),
    }


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Store]:
    return make_stores(tmp_path_factory.mktemp("stores"))


def select(params: Params, stores: dict[str, Store], folder: Path) -> list[str]:
    return select_sets(params, stores, folder / "selection", metrics=folder / "selection.json")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.json"))}


def test_files_and_numbers_of_a_selection(stores, tmp_path):
    changes = select(make_params(), stores, tmp_path)
    assert changes == [
        "corpus: new, 1 recordings are left out of pretraining",
        "more: new, 3 recordings are left out of pretraining",
    ]
    figures = json.loads((tmp_path / "selection.json").read_text())
    assert figures == {
        "corpus": {
            "in": 9, "stored": 8, "rejected": 1, "duplicates": 1, "left_out": 0, "left_out: duplicate of corpus": 1,
            "train": 6,
        },
        "more": {
            "in": 7, "stored": 6, "rejected": 1, "duplicates": 1, "left_out": 2, "left_out: duplicate of corpus": 1,
            "left_out: patient in external of outside": 1, "left_out: waveform in test of clinic": 1, "train": 2,
        },
        "clinic": {"in": 5, "stored": 4, "rejected": 1},
        "outside": {"in": 4, "stored": 3, "rejected": 1},
    }  # fmt: skip
    selection = read_selection(
        make_params(), {name: stores[name] for name in ("corpus", "more")}, tmp_path / "selection"
    )
    assert {name: rows.tolist() for name, rows in selection.left_out.items()} == {"corpus": [7], "more": [1, 2, 3]}
    task = json.loads((tmp_path / "selection/tasks/af.json").read_text())
    assert (task["set"], task["targets"]) == ("clinic", ["AF"])
    before = files(tmp_path)
    assert select(make_params(), stores, tmp_path) == []
    assert files(tmp_path) == before


def test_only_the_files_of_changed_data_change(stores, tmp_path):
    """Other labels change only the tasks with these labels, and a new set only the list, if it shares recordings."""
    select(make_params(), stores, tmp_path)
    before = files(tmp_path / "selection")
    tasks = {"af": {"set": "clinic", "targets": ["AF"]}, "mi": {"set": "clinic", "targets": ["MI"]}}
    other = make_stores(tmp_path / "other", **LABELS | {"MI": [0.0, 0.0, 1.0, 1.0]})
    assert select(make_params(tasks=tasks), other, tmp_path) == []
    now = files(tmp_path / "selection")
    assert before.items() <= now.items()
    assert now.keys() - before.keys() == {"tasks/mi.json", "exports/mi.json"}
    # the downstream set now has two further waveforms of the corpus in validation
    new = bare_store(tmp_path / "new", [1, 2], "val")
    sets = {name: {"reader": "synthetic"} for name in (*stores, "new")}
    said = select(make_params(sets=sets), stores | {"new": new}, tmp_path)
    assert said == ["corpus: 2 more recordings are left out of pretraining, 0 are used again"]
    assert before.keys() - {"pretrain.json"} == {"tasks/af.json", "exports/af.json", "encoder.json"}
    for name in ("tasks/af.json", "exports/af.json", "encoder.json"):
        assert files(tmp_path / "selection")[name] == before[name]
    # another list of rejected recordings changes the counts of a bundle, and no model
    with (stores["clinic"].path / "rejected.csv").open("a") as table:
        table.write("r9,read,unreadable,,\n")
    select(make_params(sets=sets), stores | {"new": new}, tmp_path)
    changed = {name for name, content in files(tmp_path / "selection").items() if content != before.get(name)}
    assert changed - {"pretrain.json"} == {"exports/af.json"}
    # the bundle of the encoder counts those of the first pretraining set
    with (stores["corpus"].path / "rejected.csv").open("a") as table:
        table.write("r9,read,unreadable,,\n")
    before = files(tmp_path / "selection")
    select(make_params(sets=sets), stores | {"new": new}, tmp_path)
    changed = {name for name, content in files(tmp_path / "selection").items() if content != before[name]}
    assert changed - {"pretrain.json"} == {"encoder.json"}


def test_a_changed_store_needs_a_new_selection(stores, tmp_path):
    select(make_params(), stores, tmp_path)
    used = {name: stores[name] for name in ("corpus", "more")}
    used["more"] = bare_store(tmp_path / "more", range(20, 26), "train")
    with pytest.raises(InputError) as caught:
        read_selection(make_params(), used, tmp_path / "selection")
    (problem,) = caught.value.problems
    assert (problem.field, problem.remedy) == ("more", "Make the selection again ('dvc repro select')")
    with pytest.raises(InputError, match=r"targets: differ from pretrain\.probe\.targets"):
        read_selection(
            make_params(pretrain={"probe": {"targets": ["AF"]}}),
            {name: stores[name] for name in ("corpus", "more")},
            tmp_path / "selection",
        )


def refused(params: Params, stores: dict[str, Store], folder: Path) -> list[tuple[str, str, str]]:
    """Return file, field and fix of the problems, and check that the earlier selection is unchanged."""
    select(make_params(), make_stores(folder / "sound"), folder)
    before = files(folder)
    with pytest.raises((InputError, ContractMismatch)) as caught:
        select(params, stores, folder)
    assert files(folder) == before
    assert caught.value.exit_code == 2
    return [(p.where, p.field, p.remedy) for p in caught.value.problems]


def test_absent_targets_are_listed_together(stores, tmp_path):
    tasks = {"a": {"set": "clinic", "targets": ["AF", "STTC"]}, "b": {"set": "outside", "targets": ["MI"]}}
    found = refused(make_params(tasks=tasks), stores, tmp_path)
    assert found == [
        ("params.yaml", "tasks.a.targets", "Use some of: AF, MI"),
        ("params.yaml", "tasks.b.targets", "Use a set with labels"),
    ]


def test_an_empty_pretraining_set_is_refused(stores, tmp_path):
    empty = bare_store(tmp_path / "empty", range(60, 63), "val")
    found = refused(make_params(), stores | {"more": empty}, tmp_path)
    remedy = "Change the split of the set (sets.more.split), or remove more from pretrain.sets"
    assert found == [(str(empty.path), "split", remedy)]


def test_pretraining_sets_that_are_completely_held_out_are_refused(stores, tmp_path):
    copies = bare_store(tmp_path / "copies", [11, 12], "train")
    params = make_params(pretrain={"sets": ["more"]})
    found = refused(params, stores | {"more": copies}, tmp_path)
    remedy = "Pretrain on other sets, or run the downstream tasks on other sets"
    assert found == [(str(copies.path), "pretrain.sets", remedy)]


def test_held_out_recordings_are_refused_if_the_policy_is_error(stores, tmp_path):
    found = refused(make_params(pretrain={"overlap": "error"}), stores, tmp_path)
    assert {(where, field) for where, field, _ in found} == {(str(stores["more"].path), "pretrain.overlap")}
    assert len(found) == 2
    assert "Set pretrain.overlap to drop" in found[0][2]


def test_sets_with_different_settings_are_refused(stores, tmp_path):
    settings = SPEC.model_copy(update={"duration": 4.0})
    other = bare_store(tmp_path / "other", [70, 71], "train", spec=settings)
    found = refused(make_params(), stores | {"more": other}, tmp_path)
    assert [field for _, field, _ in found] == ["signal contract: duration"]
    assert "Make both stores with the same settings" in found[0][2]


def test_a_damaged_earlier_selection_is_replaced(stores, tmp_path):
    select(make_params(), stores, tmp_path)
    (tmp_path / "selection/pretrain.json").write_text("{")
    assert len(select(make_params(), stores, tmp_path)) == 2
    assert Selection.read(tmp_path / "selection/pretrain.json").sets.keys() == {"corpus", "more"}
    assert np.array_equal(Selection.read(tmp_path / "selection/pretrain.json").sets["corpus"].rows, [7])


MODEL = {"width": 16, "depth": 1, "heads": 2, "patch": 50, "decoder": {"width": 16, "depth": 1, "heads": 2}}


def make_encoder(folder: Path, params: Params, store: Store) -> Path:
    """Write an encoder with random weights that lists the training recordings of a store."""
    with atomic_directory(folder, marker=CONFIG) as building:
        write_model(building, build_model(params).encoder, params.signal, {"data": store.described})
        Identities.of_store(store, store.rows("train")).write(building)
    return folder


def test_an_encoder_that_has_seen_held_out_recordings_is_refused(stores, tmp_path):
    """Recordings can be left out of a set, but not of an encoder."""
    seen = bare_store(tmp_path / "seen", [80, 81, 12], "train")
    encoder = make_encoder(tmp_path / "encoder", make_params(model=MODEL), seen)
    params = make_params(model=MODEL, pretrain={"init": str(encoder)})
    ((where, field, remedy),) = refused(params, stores, tmp_path)
    assert (where, field) == (str(encoder), "overlap")
    assert "finetune.overlap=warn" in remedy
    allowed = make_params(model=MODEL, pretrain={"init": str(encoder)}, finetune={"overlap": "warn"})
    select(allowed, stores, tmp_path)
    used = {name: stores[name] for name in ("corpus", "more")}
    assert read_selection(allowed, used, tmp_path / "selection").init is not None
    with pytest.raises(InputError, match=r"init: differs from the weights in pretrain\.init"):
        read_selection(make_params(model=MODEL), used, tmp_path / "selection")


def test_an_encoder_with_other_settings_is_refused(stores, tmp_path):
    encoder = make_encoder(tmp_path / "encoder", make_params(model=MODEL), stores["corpus"])
    other = {**MODEL, "width": 32}
    signal = SPEC.model_dump(mode="json") | {"crop": "center"}
    params = make_params(model=other, signal=signal, pretrain={"init": str(encoder)})
    found = refused(params, stores, tmp_path)
    assert [field for _, field, _ in found] == ["signal contract: crop", "model.width"]
    (absent,) = refused(make_params(pretrain={"init": str(tmp_path)}), stores, tmp_path / "absent")
    assert absent[:2] == (str(tmp_path), "pretrain.init")


def test_the_command_refuses_stores_that_cannot_be_used_together(stores, tmp_path, monkeypatch):
    """Exit code 2, and no output folder."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(make_params().model_dump(mode="json")))
    own, held_out = stores["corpus"].path, bare_store(tmp_path / "held", range(9), "test").path
    wrong = {
        "--name: 2 names for 1 stores": ["--store", own, "--name", "a", "--name", "b"],
        "--store: 2 stores include several with the name corpus": ["--store", own, "--store", own],
        "--weight: 'b=1' is not a weight of a store": ["--store", own, "--weight", "b=1"],
        "pretrain.sets: corpus: every recording is left out": ["--store", own, "--held-out", held_out],
        "store: does not exist, so this is not a store": ["--store", tmp_path / "nothing"],
    }
    for message, arguments in wrong.items():
        done = ecgssl("pretrain", *arguments, "--out", "run", "--set", "pretrain.sets=[corpus]")
        refused_with = (done.code, message in done.err, Path("run").exists())
        assert refused_with == (2, True, False), done.err

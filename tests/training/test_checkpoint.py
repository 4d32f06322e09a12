"""Saved models: loading, errors with field names, and the state of an interrupted run."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecgssl.errors import ContractMismatch, InputError
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.training.checkpoint import WEIGHTS, RunState, load_classifier, load_encoder, save_model
from ecgssl.training.model_folder import CONFIG, SIGNAL


@pytest.fixture
def spec(make_params):
    return make_params().signal


@pytest.fixture
def encoder(make_params):
    torch.manual_seed(0)
    params = make_params()
    return Encoder(params.model, params.signal.leads, params.signal.samples).eval()


@pytest.fixture
def saved(tmp_path, encoder, spec):
    save_model(tmp_path / "encoder", encoder, spec, {"seed": 3})
    return tmp_path / "encoder"


def test_encoder_round_trip(saved, encoder, spec):
    loaded, contract = load_encoder(saved, spec)
    assert contract == spec
    assert not loaded.training
    assert loaded.params == encoder.params
    x = torch.randn(2, 12, 500)
    assert torch.equal(loaded.embed(x), encoder.embed(x))
    assert sorted(p.name for p in saved.iterdir()) == [CONFIG, WEIGHTS, SIGNAL]
    config = json.loads((saved / CONFIG).read_text())
    assert (config["kind"], config["seed"]) == ("encoder", 3)
    assert load_encoder(saved, drop_path=0.3)[0].blocks[1].drop_path.rate == 0.3


def test_classifier_round_trip(tmp_path, encoder, spec):
    model = Classifier(encoder, ["AF", "PVC"]).eval()
    model.head.mean.normal_()
    model.head.scale.uniform_(0.5, 2)
    save_model(tmp_path / "c", model, spec)
    loaded, _ = load_classifier(tmp_path / "c", spec)
    assert loaded.targets == ("AF", "PVC")
    x = torch.randn(2, 12, 500)
    assert torch.equal(loaded(x), model(x))


@pytest.mark.parametrize(
    ("kind", "queries", "hidden"), [("multiclass", 0, 0), ("regression", 3, 0), ("multilabel", 0, 5)]
)
def test_the_kind_of_a_classifier_travels_with_it(tmp_path, encoder, spec, kind, queries, hidden):
    model = Classifier(encoder, ["a", "b"], kind, queries, hidden=hidden).eval()
    if kind == "regression":
        model.offset.fill_(50)
    save_model(tmp_path / "c", model, spec)
    loaded, _ = load_classifier(tmp_path / "c", spec)
    assert (loaded.kind, loaded.query_count, loaded.hidden_units) == (kind, queries, hidden)
    x = torch.randn(2, 12, 500)
    assert torch.equal(loaded(x), model(x))
    file = tmp_path / "c" / CONFIG
    whole = json.loads(file.read_text())
    for wrong in ({"task_kind": "odd"}, {"queries": True}, {"queries": -1}, {"queries": 10**9}, {"hidden": 4097}):
        file.write_text(json.dumps(whole | wrong))
        with pytest.raises(InputError, match=next(iter(wrong))):
            load_classifier(tmp_path / "c")


def test_classifiers_of_earlier_releases_are_multilabel(tmp_path, encoder, spec):
    save_model(tmp_path / "c", Classifier(encoder, ["a"]), spec)
    file = tmp_path / "c" / CONFIG
    new = ("task_kind", "queries", "hidden")
    old = {name: value for name, value in json.loads(file.read_text()).items() if name not in new}
    file.write_text(json.dumps(old))
    loaded, _ = load_classifier(tmp_path / "c")
    assert (loaded.kind, loaded.query_count, loaded.hidden_units) == ("multilabel", 0, 0)


def test_an_encoder_is_no_classifier(saved):
    with pytest.raises(InputError, match=r"config\.json: kind: is 'encoder'"):
        load_classifier(saved)


def test_another_contract_is_refused_with_both_sides(saved, make_params):
    other = make_params(signal={"clean": {"band": [0.5, 35]}}).signal
    for load in (load_encoder, load_classifier):
        with pytest.raises(ContractMismatch, match=r"clean\.band: \[0\.5, 40\.0\] here, \[0\.5, 35\.0\] there"):
            load(saved, other, "the store")


def edit(data: bytes, **changes) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


@pytest.mark.parametrize(
    ("file", "change", "what"),
    [
        (WEIGHTS, lambda data: None, "does not exist"),
        (WEIGHTS, lambda data: b"", "truncated or not in safetensors"),
        (WEIGHTS, lambda data: data[:5], "truncated or not in safetensors"),
        (WEIGHTS, lambda data: data[: len(data) // 2], "truncated or not in safetensors"),
        (WEIGHTS, lambda data: data[:-1], "truncated or not in safetensors"),
        (WEIGHTS, lambda data: data + b"x", "truncated or not in safetensors"),
        (WEIGHTS, lambda data: b"PK\x03\x04" + bytes(1000), "truncated or not in safetensors"),
        (CONFIG, lambda data: None, "does not exist"),
        (CONFIG, lambda data: data[:-3], "not readable JSON"),
        (CONFIG, lambda data: b"\xff\xfe", "not readable JSON"),
        (CONFIG, lambda data: b"[]", "not a JSON object"),
        (CONFIG, lambda data: b"{}", "model: should be an object"),
        (
            CONFIG,
            lambda data: edit(data, model={"width": -1}),
            r"model.width: should be greater .* \(found -1\)",
        ),
        (CONFIG, lambda data: edit(data, model={"patch": 33}), "33"),
        (SIGNAL, lambda data: None, "does not exist"),
        (SIGNAL, lambda data: data[:10], "not readable JSON"),
        (SIGNAL, lambda data: edit(data, duration="long"), "duration: should be a valid number"),
        (SIGNAL, lambda data: edit(data, surprise=1), "surprise: is not a key of this file"),
        (SIGNAL, lambda data: edit(data, duration=10.0), "fingerprint"),
        (SIGNAL, lambda data: edit(data, cleaning_version=0), "version 0 of the cleaning code"),
    ],
)
def test_damaged_models_are_refused_by_name(saved, file, change, what):
    data = change((saved / file).read_bytes())
    (saved / file).unlink()
    if data is not None:
        (saved / file).write_bytes(data)
    with pytest.raises(InputError, match=what) as caught:
        load_encoder(saved)
    assert file in str(caught.value)


def test_every_wrong_tensor_is_named(saved):
    weights = load_file(saved / WEIGHTS)
    del weights["norm.weight"]
    weights["norm.bias"] = torch.zeros(5)
    weights["surprise"] = torch.zeros(1)
    save_file(weights, saved / WEIGHTS)
    with pytest.raises(InputError) as caught:
        load_encoder(saved)
    found = {problem.field: problem.what for problem in caught.value.problems}
    assert found == {
        "norm.weight": "is missing",
        "norm.bias": "has shape (5,), but the model needs (32,)",
        "surprise": "is not part of this model",
    }


def state(step: int) -> dict:
    return {"step": step, "model": {"w": torch.full((1000,), float(step))}}


def test_run_state_keeps_the_last_two(tmp_path):
    run = RunState(tmp_path / "run", {"seed": 1})
    assert run.newest() is None
    for step in (5, 10, 15):
        run.save(step, state(step))
    assert sorted(p.name for p in run.folder.glob("step-*")) == ["step-000000010.pt", "step-000000015.pt"]
    again = RunState(tmp_path / "run", {"seed": 1}).newest()
    assert again["step"] == 15
    assert torch.equal(again["model"]["w"], state(15)["model"]["w"])
    run.discard()
    assert not run.folder.exists()


def test_run_state_refuses_another_configuration(tmp_path):
    config = {"model.width": 32, "fda.temperature": (1.0, 0.1), "seed": 1, "old": True}
    RunState(tmp_path, config)
    # a tuple becomes a list in JSON but is the same configuration
    RunState(tmp_path, dict(reversed(config.items())))
    changed = {"model.width": 64, "fda.temperature": (1.0, 0.1), "seed": 2, "new": 1.5}
    with pytest.raises(InputError) as caught:
        RunState(tmp_path, changed)
    assert [p.field for p in caught.value.problems] == ["model.width", "new", "old", "seed"]
    assert "the stopped run had 32, this one has 64" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 3, 100, 0.5, -1])
@pytest.mark.parametrize("filler", [b"", b"\0", b"x"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, keep, filler):
    run = RunState(tmp_path, {})
    run.save(5, state(5))
    run.save(10, state(10))
    file = tmp_path / "step-000000010.pt"
    data = file.read_bytes()
    cut = data[: int(keep * len(data)) if isinstance(keep, float) else keep]
    file.write_bytes(cut + filler * (len(data) - len(cut)) if keep != -1 else cut)
    assert run.newest()["step"] == 5
    assert not file.exists()


def test_nothing_is_executed_by_reading_a_checkpoint(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    run = RunState(tmp_path, {})
    (tmp_path / "step-000000005.pt").write_bytes(pickle.dumps(Evil(), protocol=2))
    torch.save({"step": Evil()}, tmp_path / "step-000000006.pt")
    assert run.newest() is None
    assert not (tmp_path / "owned").exists()


def test_other_files_survive_discard(tmp_path):
    run = RunState(tmp_path / "run", {})
    run.save(5, state(5))
    (run.folder / "notes.txt").write_text("precious")
    run.discard()
    assert [p.name for p in run.folder.iterdir()] == ["notes.txt"]


def test_what_a_killed_write_left_is_cleared(tmp_path):
    run = RunState(tmp_path / "run", {})
    (run.folder / ".step-000000005.pt.77-00ab.tmp").write_bytes(b"part")
    assert RunState(tmp_path / "run", {}).newest() is None
    run.discard()
    assert not run.folder.exists()

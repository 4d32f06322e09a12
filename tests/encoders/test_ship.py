"""Tests of shipped models made from a run: rounding, weights stored once, card, check figure and limits."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import ecgssl.export.write_graphs as graphs
from ecgssl.checked_json import validated
from ecgssl.encoders import shipped as module
from ecgssl.encoders.card import read_card
from ecgssl.encoders.plan import Plan, read_plan
from ecgssl.errors import InputError
from ecgssl.evaluation.calibration.decision import fit_decision
from ecgssl.export.bundle import load_bundle
from ecgssl.export.detached_weights import detach_weights, detached_weights
from ecgssl.export.onnx_graph import OnnxGraph
from ecgssl.export.write_graphs import WrittenGraphs
from ecgssl.files import write_json
from ecgssl.finetuning.frozen_run import load_frozen
from ecgssl.finetuning.full import predict_logits
from ecgssl.leakage.identities import Identities
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.probes.weights_check import PENALTY, check_figure, choose_recordings, probe_auroc
from ecgssl.stages import ship
from ecgssl.training.checkpoint import load_encoder, save_model
from ecgssl.training.model_folder import load_signal

REPOSITORY = Path(__file__).parents[2]
OLD = REPOSITORY / "tests/data/0.1.0/bundle_encoder"


def plan_for(run: Path, store: Path, **changes: object) -> Plan:
    sets = {"invented": {"licence": "CC BY 4.0", "attribution": "A. Author 2020", "part": "folds 1-8"}}
    check = {"set": "invented", "targets": ["AF"], "train": 12, "test": 4}
    entries = {
        "kind": "encoder", "summary": "A small encoder.", "model": str(run), "store": str(store), "licence": "CC BY 4.0",
        "sets": sets, "check": check, "limits": ["It was not trained."], "profile": "ptbxl-tiny",
        "command": ["dvc repro"], "compute": {"cpu_minutes": 31.0, "machine": "one core"},
        "results": [{"measure": "AUROC", "data": "fold 9", "value": 0.9, "low": 0.88, "high": 0.92}],
    }  # fmt: skip
    return validated(Plan, entries | changes, "plan", "Correct it")


@pytest.fixture(scope="module")
def made(tmp_path_factory, store, make_params):
    """Return the run, the shipped model and its card."""
    folder = tmp_path_factory.mktemp("ship")
    params = make_params()
    torch.manual_seed(0)
    encoder = Encoder(params.model, store.spec.leads, store.spec.samples).eval()
    about = {"data": {"set": "invented", "train": 16, "val": 4, "test": 4}, "pretraining": {"seen": 640}}
    save_model(folder / "run", encoder, store.spec, about)
    replace(Identities.of_store(store, store.rows("train")), licence="CC BY 4.0", set="invented").write(folder / "run")
    plan = plan_for(folder / "run", store.path)
    with pytest.MonkeyPatch.context() as patch:
        # the export of a graph takes many seconds; the graph of an earlier release is used below
        patch.setattr(graphs, "write_graphs", lambda *_: WrittenGraphs())
        patch.setattr(ship, "_detach", lambda *_: None)
        card = ship.ship_model("small", plan, params, folder / "shipped")
    return SimpleNamespace(
        run=folder / "run", root=folder / "shipped", path=folder / "shipped/small", card=card, plan=plan
    )


def test_embeddings_are_those_of_the_run_within_rounding(made, store):
    original, spec = load_encoder(made.run)
    ecg, mask = store.signals(np.arange(6)), store.lead_mask(np.arange(6))
    state = {k: v.half().float() if v.ndim > 1 else v for k, v in original.state_dict().items()}
    expected = Encoder(original.params, spec.leads, spec.samples).eval()
    expected.load_state_dict(state)
    loaded, _ = load_encoder(made.path)
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    graph = load_bundle(made.path).graph
    after = graph.run(ecg, mask)["embedding"]
    graph.model = original
    before = graph.run(ecg, mask)["embedding"]
    assert 0 < np.abs(after - before).max() < 0.01 * before.std()
    assert made.card.rounding.cosine > 0.9999


def test_weights_are_stored_once_in_half_precision(made):
    tensors = load_file(made.path / "model.safetensors")
    assert {value.dtype for value in tensors.values() if value.ndim > 1} == {np.dtype(np.float16)}
    assert not list(made.path.glob("*.pt2"))


def test_the_graph_is_written_again_with_the_same_weights(made, store, tmp_path):
    shutil.copytree(made.root, tmp_path / "shipped")
    path = tmp_path / "shipped/small"
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    ship.renew_graph("small", tmp_path / "shipped")
    after = {file.name: file.read_bytes() for file in path.iterdir()}
    assert after.keys() == before.keys() | {"encoder.onnx"}
    assert {name for name in before if after[name] != before[name]} == {"SHA256SUMS"}
    assert len(after["encoder.onnx"]) < len(after["model.safetensors"]), "the weights are not in the graph"
    ecg, mask = store.signals(np.arange(6)), store.lead_mask(np.arange(6))
    torch_, onnx_ = (load_bundle(path, engine).graph.run(ecg, mask)["embedding"] for engine in ("torch", "onnxruntime"))
    np.testing.assert_allclose(onnx_, torch_, atol=1e-4)


def test_a_graph_takes_its_weights_from_the_weights_file(tmp_path):
    """The outputs of the graph of an earlier release are the same with all large weights in the safetensors file."""
    weights, whole = load_file(OLD / "model.safetensors"), (OLD / "encoder.onnx").read_bytes()
    content = detach_weights(whole, weights, "model.safetensors")
    lost = max(weights, key=lambda name: weights[name].size)
    assert weights[lost].nbytes > 1000
    assert len(content) < len(whole) - weights[lost].nbytes + 500
    (tmp_path / "encoder.onnx").write_bytes(content)
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, tmp_path / "model.safetensors")
    ecg = np.random.default_rng(0).normal(size=(2, 2, 500)).astype(np.float32)
    mask = np.ones((2, 2), dtype=bool)
    spec = load_signal(OLD)
    found = [OnnxGraph(path / "encoder.onnx", spec, None).run(ecg, mask)["embedding"] for path in (OLD, tmp_path)]
    assert np.array_equal(*found)
    save_file({name: value for name, value in weights.items() if name != lost}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=rf"{lost}: is not a weight that encoder\.onnx needs"):
        detached_weights(tmp_path / "encoder.onnx", tmp_path / "model.safetensors")


def test_the_card_states_data_command_results_and_limits(made, store):
    card = read_card(made.path)
    assert card == made.card
    (entry,) = card.data
    assert (entry.set, entry.train, entry.part, entry.licence) == ("invented", 16, "folds 1-8", "CC BY 4.0")
    assert (card.codes, card.compute.recordings_seen) == (16, 640)
    text = (made.path / "README.md").read_text()
    for part in (
        "# small\n", 'ecgssl.load("small")', "A. Author 2020", "waveform codes of 16 recordings", "31 minutes",
        "dvc repro", "| AUROC | fold 9 | 0.900 | 0.880 to 0.920 |", "- It was not trained.",
        f"macro AUROC of {card.check.value:.4f}",
    ):  # fmt: skip
        assert part in text, part
    assert json.loads((made.path / "config.json").read_text())["name"] == "small"


def test_the_check_figure_is_reproduced(made, store):
    check, (encoder, _) = made.card.check, load_encoder(made.path)
    assert (len(check.train), len(check.test)) == (12, 4)
    splits = dict(zip(store.index["record_id"], store.index["split"], strict=True))
    assert {splits[name] for name in check.train} == {"train"}
    assert {splits[name] for name in check.test} == {"val"}
    assert check_figure(encoder, store, check.targets, check.train, check.test) == pytest.approx(check.value, abs=1e-4)
    with pytest.raises(InputError, match=r"1 are missing, the first is rec99"):
        check_figure(encoder, store, check.targets, check.train, ("rec99",))
    with pytest.raises(InputError, match="300 are needed"):
        choose_recordings(store, ["AF"], "", 300, 4)


def test_probe_auroc_of_a_small_example():
    """With one feature, the order of the scores is that of the feature: 3 of 4 pairs are in the right order."""
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0.0], [0.0], [1.0], [1.0]])
    test, judged = np.array([[0.0], [2.0], [1.0], [3.0]]), np.array([[0.0], [0.0], [1.0], [1.0]])
    assert probe_auroc(x, y, test, judged) == pytest.approx(0.75)
    assert PENALTY > 0
    with pytest.raises(InputError, match="equal for all test recordings"):
        probe_auroc(x, y, test, np.ones((4, 1)))


def test_a_plan_that_does_not_fit_the_run_lists_all_problems(made, store, make_params):
    sets = {"other": {"licence": "restricted", "attribution": ""}}
    plan = plan_for(made.run, store.path, kind="classifier", sets=sets)
    with pytest.raises(InputError) as caught:
        ship.ship_model("small", plan, make_params(), made.root)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["kind", "sets.invented", "sets.other", "sets.other.licence", "check"]


def test_the_total_size_is_limited(made, tmp_path, monkeypatch):
    # weights and graphs count, other files do not
    size = (made.path / "model.safetensors").stat().st_size
    for name, count in (("model.safetensors", 60), ("encoder.onnx", 40), ("recordings.safetensors", 1000)):
        (tmp_path / name).write_bytes(bytes(count))
    monkeypatch.setattr(ship, "MOST_BYTES", size + 100)
    ship.require_space(tmp_path, "another", made.root)
    monkeypatch.setattr(ship, "MOST_BYTES", size + 99)
    with pytest.raises(InputError, match=rf"more than {size + 99:,} \(small {size:,}, another 100\)"):
        ship.require_space(tmp_path, "another", made.root)
    # a model replaces the earlier one of its name
    ship.require_space(tmp_path, "small", made.root)


def test_plans_of_the_repository_are_valid(monkeypatch):
    plans = sorted((REPOSITORY / "pipelines/shipped").glob("*.yaml"))
    assert plans
    for path in plans:
        plan = read_plan(path)
        assert (REPOSITORY / f"ecgssl/profiles/{plan.profile}.yaml").exists()
    monkeypatch.setattr(module, "FOLDER", REPOSITORY / "ecgssl/encoders")
    assert set(module.shipped_names()) <= {path.stem for path in plans}


def test_every_file_of_a_shipped_model_is_package_data(made):
    """The stand-in for the graph has the name of the one that the export writes."""
    patterns = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "ecgssl"
    ]
    names = [path.name for path in made.path.iterdir()] + ["encoder.onnx", "classifier.onnx", "labels.json"]
    missing = [n for n in names if not any(fnmatch(f"encoders/small/{n}", pattern) for pattern in patterns)]
    assert missing == []


def test_a_classifier_ships_and_is_evaluated_by_name(made, store, make_params, monkeypatch):
    spec, params = store.spec, make_params()
    torch.manual_seed(1)
    classifier = Classifier(Encoder(params.model, spec.leads, spec.samples), ("AF",)).eval()
    origin = {"name": "small", "data": {"set": "invented", "train": 16}, "started_from": None, "recordings_known": True}
    about = {"task": "af", "mode": "linear", "data": {"set": "clinic", "train": 12}, "encoder": origin}
    run = made.run.with_name("af")
    save_model(run, classifier, spec, about)
    logits = np.linspace(-2, 2, 100)[:, None]
    decision = fit_decision("multilabel", ("AF",), logits, (logits > 0.3).astype(float), fitted_on={"split": "val"})
    decision.save(run)
    write_json(run / "choices.json", {"choices": {"C": {"AF": 0.1}}, "history": []})
    sets = {name: {"licence": "CC BY 4.0", "attribution": "A. Author 2020"} for name in ("clinic", "invented")}
    plan = plan_for(run, store.path, kind="classifier", sets=sets, check=None, encoder="small")
    monkeypatch.setattr(graphs, "write_graphs", lambda *_: WrittenGraphs())
    monkeypatch.setattr(ship, "_detach", lambda *_: None)
    card = ship.ship_model("small-af", plan, params, made.root)
    assert [(entry.role, entry.set, entry.train) for entry in card.data] == [
        ("fine-tuning", "clinic", 12),
        ("pretraining", "invented", 16),
    ]
    monkeypatch.setattr(module, "FOLDER", made.root)
    assert [model.card.kind for model in module.shipped_models()] == ["encoder", "classifier"]
    bundle, frozen = load_bundle("small-af"), load_frozen("small-af")
    assert (frozen.clinical, frozen.no_clinical) == (None, "the model has no clinical_baseline.json")
    assert bundle.encoder == "small, pretrained on invented (16 recordings)"
    assert frozen.decision.to_dict() == decision.to_dict() == bundle.decision.to_dict()
    rows = np.arange(4)
    found = bundle.graph.run(store.signals(rows), store.lead_mask(rows))["logits"]
    expected = predict_logits(classifier, store, rows)
    assert np.abs(found - expected).max() < 0.01 * expected.std()

"""Bundles of multiclass and regression models: their outputs, and the error for a decision with other labels."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from deploy_models import LEAN, SPEC, TINY, beats, decision

import ecgssl
from ecgssl.config import QualityParams
from ecgssl.errors import InputError
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import Decision, LabelDecision
from ecgssl.export.bundle import export_bundle, load_bundle
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS
from ecgssl.training.checkpoint import save_model

CLASSES = ("rhythm:AF", "rhythm:SR", "rhythm:other")


def model_of(kind, targets, queries=0, hidden=0):
    torch.manual_seed(3)
    model = Classifier(Encoder(TINY, SPEC.leads, SPEC.samples), targets, kind, queries, hidden=hidden)
    model.head.linear.weight.data += 0.2 * torch.randn_like(model.head.linear.weight)
    if kind == "regression":
        model.offset += 60
        model.spread *= 15
    return model.eval()


def labels(names, calibrator):
    return tuple(LabelDecision(name, calibrator) for name in names)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    save_model(folder / "model", model_of("multiclass", CLASSES, 2), SPEC)
    Decision("multiclass", labels(CLASSES, Calibrator("temperature", 0.5))).save(folder / "model")
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams())
    return folder / "bundle"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    save_model(folder / "model", model_of("regression", ("age", "lvef"), hidden=8), SPEC)
    Decision("regression", labels(("age", "lvef"), Calibrator("linear", 1.2, -5.0))).save(folder / "model")
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams())
    return folder / "bundle"


def signal():
    return beats(3, 500) / 1000


def test_classes(classes):
    bundle = load_bundle(classes, "torch")
    assert (bundle.graph.outputs, bundle.targets) == (("logits", "probability", "embedding"), CLASSES)
    found = ecgssl.load(classes).predict(signal(), 500, LEADS)
    assert sum(found.scores.values()) == pytest.approx(1)
    assert found.predicted == max(found.scores, key=found.scores.get)
    assert found.calls == {name: {} for name in CLASSES}
    ecg, mask = np.random.default_rng(0).normal(0, 0.3, (4, 12, 1000)).astype(np.float32), np.ones((4, 12), bool)
    logits, probability, _ = onnxruntime.InferenceSession(classes / "classifier.onnx").run(
        None, {"ecg": ecg, "lead_mask": mask}
    )
    odds = np.exp(0.5 * logits.astype(float))
    np.testing.assert_allclose(probability, odds / odds.sum(axis=1, keepdims=True), atol=1e-6)
    card = (classes / "README.md").read_text()
    assert "exclusive classes" in card
    assert "with an attentive head" in card


def test_numbers(numbers):
    bundle = load_bundle(numbers, "torch")
    assert bundle.graph.outputs == ("logits", "value", "embedding")
    found = ecgssl.load(numbers).predict(signal(), 500, LEADS)
    assert (found.calls, found.predicted) == ({"age": {}, "lvef": {}}, None)
    ecg, mask = np.random.default_rng(0).normal(0, 0.3, (2, 12, 1000)).astype(np.float32), np.ones((2, 12), bool)
    session = onnxruntime.InferenceSession(numbers / "classifier.onnx")
    before, value = session.run(["logits", "value"], {"ecg": ecg, "lead_mask": mask})
    np.testing.assert_allclose(value, 1.2 * before - 5, rtol=1e-6)
    card = (numbers / "README.md").read_text()
    assert "in the units of the training data" in card
    assert "with a linear head and a network with one hidden layer" in card
    with torch.inference_mode():
        own = bundle.graph(torch.from_numpy(ecg), torch.from_numpy(mask))[0].numpy()
    np.testing.assert_allclose(before, own, rtol=1e-4)
    assert bundle.graph.model.hidden_units == 8


def test_decision_of_other_labels_is_refused(tmp_path):
    save_model(tmp_path / "model", model_of("multilabel", ("NORM", "MI"), 0), SPEC)
    decision().save(tmp_path / "model")
    with pytest.raises(
        InputError, match=r"decision.json: labels: are multilabel MI, NORM; the model has multilabel NORM"
    ):
        export_bundle(tmp_path / "model", tmp_path / "bundle", LEAN, quality=QualityParams())
    assert not (tmp_path / "bundle").exists()

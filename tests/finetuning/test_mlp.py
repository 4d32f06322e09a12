"""Tests for the nonlinear probe."""

import numpy as np
import pytest
import torch
from scipy.special import erf
from sklearn.metrics import roc_auc_score

from ecgssl.config.finetune import LinearParams, MlpParams
from ecgssl.errors import InputError
from ecgssl.finetuning import mlp
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline, model_name
from ecgssl.finetuning.clinical_network import with_network
from ecgssl.finetuning.mlp import finetune_mlp
from ecgssl.finetuning.rows import ChosenRows
from ecgssl.model.classifier import LIMIT, Head
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.feature_columns import fit_columns
from ecgssl.probes.selection import selection_score
from ecgssl.signal.clinical_features import NAMES
from ecgssl.training.checkpoint import weight_bytes

PARAMS = MlpParams(hidden=32, epochs=6, batch_size=32, learning_rate=5e-3, input_dropout=0.1, dropout=0.1)
FEATURES = 6


@pytest.fixture
def data():
    """Features, and two targets that a linear model cannot learn: whether two features have equal signs."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=(900, FEATURES)).astype(np.float32)
    signs = np.sign(x - 3)
    y = np.stack([signs[:, 0] * signs[:, 1] > 0, signs[:, 2] * signs[:, 3] > 0], axis=1).astype(float)
    y[::7, 1] = np.nan
    return x[:600], y[:600], x[600:], y[600:]


def linear_head(outputs=2):
    torch.manual_seed(3)
    head = Head(FEATURES, outputs)
    head.mean.fill_(3)
    head.scale.fill_(2)
    return head.eval()


def fitted(folder, data, kind="multilabel", params=PARAMS, score=None, linear=None):
    x, y, vx, vy = data
    linear = linear or linear_head(y.shape[1])
    chosen = score or selection_score(kind)
    return finetune_mlp(linear, kind, x, y, vx, vy, params, 1, chosen, folder, {"a": 1}, show_progress=False)


def test_outputs_are_the_mean_of_both_models(tmp_path, data):
    """The reference is numpy: clipping, LayerNorm and the exact GELU."""
    head = fitted(tmp_path, data).head
    x = np.concatenate([data[2], np.full((1, FEATURES), 100, np.float32)])
    state = {name: value.numpy().astype(float) for name, value in head.state_dict().items()}
    z = (x - 3) / 2
    hidden = np.clip(z, -LIMIT, LIMIT) @ state["network.to_hidden.weight"].T + state["network.to_hidden.bias"]
    hidden = (hidden - hidden.mean(axis=1, keepdims=True)) / np.sqrt(hidden.var(axis=1, keepdims=True) + 1e-5)
    hidden = hidden * state["network.norm.weight"] + state["network.norm.bias"]
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    network = hidden @ state["network.to_outputs.weight"].T + state["network.to_outputs.bias"]
    linear = z @ state["linear.weight"].T + state["linear.bias"]
    with torch.inference_mode():
        found = head(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, (linear + network) / 2, rtol=1e-4, atol=1e-4)


def test_what_a_linear_model_cannot_learn(tmp_path, data):
    linear = linear_head()
    before = weight_bytes(linear)
    found = fitted(tmp_path, data, linear=linear)
    assert weight_bytes(linear) == before
    for k in range(2):
        known = ~np.isnan(data[3][:, k])
        with torch.inference_mode():
            x = torch.from_numpy(data[2][known])
            scores = [model(x).numpy()[:, k] for model in (linear, found.head)]
        aurocs = [roc_auc_score(data[3][known, k], score) for score in scores]
        assert aurocs[0] < 0.65
        assert aurocs[1] > 0.85
    assert found.best_epoch == np.argmax([line["score"] for line in found.history]) > 0
    torch.testing.assert_close(found.head.linear.weight, linear.linear.weight)


def test_numbers_and_classes(tmp_path, data):
    """A regression is scored on standardised values; classes share one network."""
    x, y, vx, vy = data
    numbers = (x, y[:, :1] * 2 - 1, vx, vy[:, :1] * 2 - 1)
    assert max(line["score"] for line in fitted(tmp_path / "a", numbers, "regression").history) > 0.15
    classes = (x, np.stack([y[:, 0], 1 - y[:, 0]], axis=1), vx, np.stack([vy[:, 0], 1 - vy[:, 0]], axis=1))
    found = fitted(tmp_path / "b", classes, "multiclass")
    assert found.history[found.best_epoch]["score"] > 0.85


def test_the_linear_probe_is_kept_if_no_epoch_is_better(tmp_path, data):
    scores = iter([0.9, *[0.8] * 6])
    linear = linear_head()
    found = fitted(tmp_path, data, score=lambda *_: next(scores), linear=linear)
    assert (found.best_epoch, found.head.network) == (0, None)
    assert weight_bytes(found.head) == weight_bytes(linear)


def test_the_first_score_is_that_of_the_linear_probe(tmp_path, data):
    seen = []

    def score(targets, outputs):
        seen.append(outputs)
        return 0.5

    linear = linear_head()
    fitted(tmp_path, data, score=score, linear=linear)
    with torch.inference_mode():
        np.testing.assert_allclose(seen[0], linear(torch.from_numpy(data[2])).numpy(), rtol=1e-6)
    assert not np.allclose(seen[1], seen[0])


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression"])
def test_a_network_starts_from_the_frequencies(kind):
    y = np.array([[1, 0], [0, 1], [0, 1], [np.nan, np.nan]])
    start = mlp._start(kind, y).double().numpy()
    shares = np.array([1.5 / 4, 2.5 / 4])
    expected = {"multilabel": np.log(shares / (1 - shares)), "multiclass": np.log(shares), "regression": np.zeros(2)}
    np.testing.assert_allclose(start, expected[kind], rtol=1e-6)


def test_a_stopped_run_ends_as_an_undisturbed_one(tmp_path, data):
    whole = fitted(tmp_path / "whole", data)
    calls = iter(range(99))
    count = selection_score("multilabel")

    def stops(targets, outputs):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return count(targets, outputs)

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", data, score=stops)
    resumed = fitted(tmp_path / "cut", data)
    assert weight_bytes(resumed.head) == weight_bytes(whole.head)
    np.testing.assert_equal(resumed.history, whole.history)


def test_another_setting_does_not_resume(tmp_path, data):
    fitted(tmp_path, data)
    x, y, vx, vy = data
    with pytest.raises(InputError):
        finetune_mlp(
            linear_head(), "multilabel", x, y, vx, vy, PARAMS, 1, selection_score("multilabel"), tmp_path, {"a": 2},
            show_progress=False,
        )  # fmt: skip


def test_few_recordings_have_enough_steps(tmp_path, data, monkeypatch):
    """With 40 recordings and batches of 32, an epoch would have two steps."""
    steps = []
    monkeypatch.setattr(mlp, "rows_at", lambda rows, size, seed, step: steps.append(step) or rows[:size])
    fitted(tmp_path, (data[0][:40], data[1][:40], *data[2:]), params=PARAMS.model_copy(update={"epochs": 2}))
    assert steps == list(range(2 * mlp.LEAST_STEPS))


def test_a_clinical_baseline_learns_what_a_linear_one_cannot(tmp_path):
    """Target: whether two measurements have equal signs. The reference is scikit-learn's AUROC of both on other recordings."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(900, len(NAMES)))
    inputs[:, 6:] = np.nan
    y = (inputs[:, 0] * inputs[:, 1] > 0).astype(float)[:, None]
    rows = ChosenRows(np.arange(600), np.arange(600, 750), np.arange(750, 900), {}, {})
    columns = fit_columns(inputs[:600], NAMES)
    fit = probe_for("multilabel", linear := LinearParams(C=[0.1]), (0, 0))
    probe = fit(
        columns.columns(inputs[:600]), y[:600], columns.columns(inputs[600:750]), y[600:750], linear, names=["a"],
        groups=np.arange(600),
    )  # fmt: skip

    class Measured(ClinicalBaseline):
        def measured(self, store, rows, leads=None, *, cache=None, show_progress=True):
            return inputs[rows]

    baseline = Measured(model_name([]), NAMES, columns, probe)
    params = MlpParams(hidden=64, epochs=8, batch_size=32, learning_rate=5e-3, input_dropout=0.0, dropout=0.0)
    fitted, outputs, epoch = with_network(
        baseline, None, y, rows, params, 1, tmp_path, tmp_path / "run", {"a": 1}, show_progress=False
    )
    assert epoch > 0
    np.testing.assert_array_equal(outputs, fitted.outputs(inputs[600:]))
    z = torch.from_numpy(((columns.columns(inputs[750:]) - probe.mean) / probe.scale).astype(np.float32))
    with torch.inference_mode():
        network = fitted.network(z).double().numpy()
    linear_outputs = baseline.outputs(inputs[750:])
    np.testing.assert_allclose(outputs[150:], (linear_outputs + network) / 2, rtol=1e-4, atol=1e-5)
    assert roc_auc_score(y[750:], linear_outputs) < 0.62
    assert roc_auc_score(y[750:], outputs[150:]) > 0.75

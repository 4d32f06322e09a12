"""Fine-tuning loops: learning, frozen weights, and resumption of a killed run with the same result."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from short_store import shortened

from ecgssl.config import AttentiveParams, FullParams, ModelParams
from ecgssl.finetuning import full
from ecgssl.finetuning.attentive import finetune_attentive
from ecgssl.finetuning.full import finetune_full, outputs_in_pieces, predict_logits, visible
from ecgssl.model.classifier import Classifier, start_attentive
from ecgssl.model.encoder import Encoder
from ecgssl.probes.selection import mean_r2, selection_score
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier, save_model, weight_bytes

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
SMALL = ModelParams(width=32, depth=2, heads=2, patch=50)


def targets_of(store: Store, kind: str) -> np.ndarray:
    """Return targets from the strength of V3 relative to the other leads: two labels, three classes, or a number."""
    power = store.signals(np.arange(len(store))).astype(float).std(axis=2)
    size = power[:, 8] / power.mean(axis=1)
    order = size.argsort().argsort()
    if kind == "regression":
        values = 100 + 50 * size[:, None]
    else:
        values = np.eye(3)[order // 8] if kind == "multiclass" else np.stack([order >= 12, order < 9], axis=1) * 1.0
    values[3] = np.nan
    return values


def classifier(store: Store, kind: str, drop_path: float = 0.0) -> Classifier:
    torch.manual_seed(1)
    values = targets_of(store, kind)
    model = Classifier(Encoder(SMALL, store.spec.leads, store.spec.samples, drop_path), "abc"[: values.shape[1]], kind)
    if kind == "regression":
        model.offset.fill_(float(np.nanmean(values)))
        model.spread.fill_(float(np.nanstd(values)))
    return model.eval()


def train(store: Store, folder: Path, mode: str, kind: str, score=None, val: str = "val", values=None, **changes):
    values = targets_of(store, kind) if values is None else values
    rows = {split: np.setdiff1d(store.rows(name), [3]) for split, name in (("train", "train"), ("val", val))}
    score = score or selection_score(kind)
    if mode == "attentive":
        params = AttentiveParams(**{"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "patience": 9} | changes)
        model = start_attentive(classifier(store, kind), params.queries)
        loop = finetune_attentive
    else:
        params = FullParams(**{"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "patience": 9} | changes)
        model, loop = classifier(store, kind, 0.1), finetune_full
    config = params.model_dump(mode="json")
    return loop(model, store, values, params, 5, score, folder, config, show_progress=False, **rows)


def digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(weight_bytes(model)).hexdigest()


class Rising:
    """Score that increases with every epoch and can kill the process at a given epoch."""

    def __init__(self, calls: int = 0, kill_at: int = -1) -> None:
        self.calls, self.kill_at = calls, kill_at

    def __call__(self, targets: np.ndarray, logits: np.ndarray) -> float:
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1
        return float(self.calls)


def killed_run(store: Path, folder: Path, mode: str, kill_at: int, changes: dict[str, float]) -> None:
    torch.set_num_threads(1)
    train(Store(store), folder, mode, "multilabel", Rising(kill_at=kill_at), **changes)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression"])
@pytest.mark.parametrize("mode", ["attentive", "full"])
def test_the_loss_falls_and_the_best_epoch_is_kept(store, tmp_path, mode, kind):
    result = train(store, tmp_path, mode, kind, val="train", epochs=8, shift=False) if mode == "full" else train(
        store, tmp_path, mode, kind, val="train", epochs=8, learning_rate=1e-2)  # fmt: skip
    losses = [row["loss"] for row in result.history[1:]]
    assert losses[-1] < losses[0]
    scores = [row["score"] for row in result.history]
    assert result.best_epoch == int(np.argmax(scores))
    assert max(scores) > scores[0]
    values, rows = targets_of(store, kind), np.setdiff1d(store.rows("train"), [3])
    reached = selection_score(kind)(values[rows], predict_logits(result.model, store, rows))
    assert reached == pytest.approx(scores[result.best_epoch], abs=0.01 if mode == "attentive" else 1e-6)
    assert not (tmp_path / "tokens.npy").exists()


def test_attention_leaves_the_encoder_alone_whether_tokens_are_kept_or_not(store, tmp_path):
    kept = train(store, tmp_path / "a", "attentive", "multilabel", Rising())
    made = train(store, tmp_path / "b", "attentive", "multilabel", Rising(), cache_gb=0)
    for result in (kept, made):
        assert digest(result.model.encoder) == digest(classifier(store, "multilabel").encoder)
    start = start_attentive(classifier(store, "multilabel"), 4)
    assert not torch.equal(kept.model.pooling.queries, start.pooling.queries)
    # stored with 16 bits
    for one, other in zip(kept.history[1:], made.history[1:], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-3)


@pytest.mark.parametrize("mode", ["attentive", "full"])
def test_missing_time_has_no_influence(store, tmp_path, mode):
    lengths, values = np.resize([500, 260, 333], len(store)), targets_of(store, "multilabel")
    found = []
    for number, value in enumerate((0.0, 1e6)):
        short = shortened(store, lengths, value)
        # keep the tokens in the first run only
        options = {"cache_gb": 8.0 * (1 - number)} if mode == "attentive" else {"crops": 2, "time_ratio": 0.4}
        made = train(short, tmp_path / str(number), mode, "multilabel", Rising(), values=values, epochs=2, **options)
        found.append((made.history[-1]["loss"], predict_logits(made.model, short, np.arange(12))))
    (loss, logits), (again, same) = found
    assert loss == pytest.approx(again, rel=2e-3 if mode == "attentive" else 1e-6)
    np.testing.assert_allclose(logits, same, atol=2e-2 if mode == "attentive" else 1e-5)
    complete = predict_logits(made.model, store, np.arange(12))
    np.testing.assert_allclose(complete[::3], same[::3], atol=1e-5)
    assert np.abs(complete - same)[1::3].min() > 1e-4


@pytest.mark.parametrize(("mode", "changes"), [("attentive", {}), ("full", {}), ("full", {"time_ratio": 0.5})])
def test_a_killed_run_ends_as_an_undisturbed_one(store, tmp_path, mode, changes):
    whole = train(store, tmp_path / "whole", mode, "multilabel", Rising(), **changes)
    process = FORKS.Process(target=killed_run, args=(store.path, tmp_path / "cut", mode, 3, changes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [file.name for file in sorted((tmp_path / "cut").glob("step-*.pt"))] == [
        "step-000000001.pt", "step-000000002.pt",
    ]  # fmt: skip
    resumed = train(store, tmp_path / "cut", mode, "multilabel", Rising(calls=3), **changes)
    assert digest(resumed.model) == digest(whole.model)
    np.testing.assert_equal(resumed.history, whole.history)


def test_time_masks_hide_columns_in_training_only(store, tmp_path):
    seen = []

    class Watched(Encoder):
        def forward(self, x, lead_mask=None, keep=None, recorded=None, shares=None):
            seen.append((self.training, None if keep is None else keep.shape[1]))
            return super().forward(x, lead_mask, keep, recorded, shares)

    start = classifier(store, "multilabel")
    start.encoder.__class__ = Watched
    params = FullParams(epochs=1, batch_size=8, patience=1, time_ratio=0.5)
    rows = {split: np.setdiff1d(store.rows(split), [3]) for split in ("train", "val")}
    values = targets_of(store, "multilabel")
    finetune_full(start, store, values, params, 5, Rising(), tmp_path, {}, show_progress=False, **rows)
    columns, leads = start.encoder.columns, len(store.spec.leads)
    trained = {count for training, count in seen if training}
    assert trained
    assert trained <= {columns // 2 * leads, (columns + 1) // 2 * leads}
    assert {count for training, count in seen if not training} == {None}


def test_patience_ends_a_run_and_the_start_may_be_the_best(store, tmp_path):
    falling = iter(range(0, -9, -1))
    result = train(store, tmp_path, "full", "multilabel", lambda y, z: float(next(falling)), patience=2, epochs=9)
    assert [row["epoch"] for row in result.history] == [0, 1, 2]
    assert result.best_epoch == 0
    assert digest(result.model) == digest(classifier(store, "multilabel"))


@pytest.mark.parametrize("given", [False, True])
def test_pieces_have_the_gradient_of_the_whole_batch(store, monkeypatch, given):
    monkeypatch.setattr(full, "PIECE", 3)
    torch.manual_seed(0)
    x = torch.randn(8, len(store.spec.leads), store.spec.samples)
    leads = torch.rand(8, len(store.spec.leads)) < 0.7 if given else None
    recorded = torch.full((8,), store.spec.samples - 60) if given else None
    generator = torch.Generator().manual_seed(0)
    found = []
    keep = visible(classifier(store, "multilabel").encoder, 0.5, 8, 0, generator, recorded) if given else None
    for outputs in (lambda m: outputs_in_pieces(m, x, leads, recorded, keep), lambda m: m(x, leads, recorded, keep)):
        model = classifier(store, "multilabel").train()
        y = outputs(model)
        (y.square().mean() + y[0, 0]).backward()
        found.append([y.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 10
    for pieces, whole in zip(*found, strict=True):
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-4)


def test_a_score_that_is_undefined_ends_the_run(store, tmp_path):
    with pytest.raises(FloatingPointError, match="score before training"):
        train(store, tmp_path, "full", "multilabel", lambda y, z: float("nan"))


def test_hidden_leads_do_not_matter(store, tmp_path):
    leads = np.array([lead in ("I", "II") for lead in store.spec.leads])
    model, rows = classifier(store, "multilabel"), store.rows("test")
    two = predict_logits(model, store, rows, leads)
    assert not np.allclose(two, predict_logits(model, store, rows))

    class Other(Store):
        def signals(self, rows):
            out = super().signals(rows)
            out[:, ~leads] = 7
            return out

    np.testing.assert_array_equal(predict_logits(model, Other(store.path), rows, leads), two)


def test_crops_are_averaged_and_travel_with_the_model(store, tmp_path):
    result = train(store, tmp_path / "run", "full", "regression", epochs=1, crops=3, sampling="balanced")
    rows = store.rows("test")
    outputs = predict_logits(result.model, store, rows)
    save_model(tmp_path / "c", result.model, store.spec)
    loaded, _ = load_classifier(tmp_path / "c")
    assert loaded.crops == 3
    np.testing.assert_array_equal(predict_logits(loaded, store, rows), outputs)
    loaded.crops = 1

    class Later(Store):
        def signals(self, rows):
            return np.roll(super().signals(rows), self.by, axis=-1)  # type: ignore[attr-defined]

    views = []
    for crop in range(3):
        later = Later(store.path)
        later.by = store.spec.samples * crop // 3  # type: ignore[attr-defined]
        views.append(predict_logits(loaded, later, rows))
    np.testing.assert_allclose(np.mean(views, axis=0), outputs, rtol=1e-5)
    assert np.ptp(views, axis=0).max() > 1e-4


def test_numbers_come_out_in_their_unit(store, tmp_path):
    result = train(
        store, tmp_path, "full", "regression",
        val="train", epochs=40, patience=40, shift=False, drop_path=0, layer_decay=1, learning_rate=3e-3,
    )  # fmt: skip
    values, rows = targets_of(store, "regression"), np.setdiff1d(store.rows("train"), [3])
    assert mean_r2(values[rows], predict_logits(result.model, store, rows)) > 0.5

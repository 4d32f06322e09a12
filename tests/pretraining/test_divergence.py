"""Divergence of a pretraining: it is detected, named and not published; short and collapsed runs are published."""

from __future__ import annotations

import math
import sqlite3

import pytest
import torch
import yaml
from command_line import ecgssl

from ecgssl.config import DivergenceParams
from ecgssl.errors import Diverged
from ecgssl.pretraining.diagnostics.divergence import detect_divergence
from ecgssl.pretraining.diagnostics.geometry import geometry
from ecgssl.pretraining.loop import build_model

LIMITS = DivergenceParams()
SOUND = {"relative_limb": 1.01, "relative_chest": 0.97}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"skipped": 2}, None),
        ({"skipped": 3}, "3 of 10 steps were skipped"),
        ({"figures": {**SOUND, "relative_chest": 37.0}}, "chest leads is 37 times that of predicting the mean"),
        ({"figures": {**SOUND, "relative_limb": 1.3}}, "limb leads is 1.3 times"),
        ({"figures": {**SOUND, "loss": math.nan}}, "not finite: loss"),
        ({"history": [{"contrastive": 1.1 * math.log(7)}]}, None),
        ({"history": [{"contrastive": 4.0}, {"contrastive": 4.5}]}, None),
        ({"history": [{"contrastive": 1.0}, {"contrastive": 1.3 * math.log(7)}]}, "contrastive loss is 2.53, but 1.95"),
        ({"history": [{"loss": math.inf}]}, "not finite: loss"),
    ],
)
def test_limits(changes, expected):
    given = {"steps": 10, "skipped": 0, "history": [{"contrastive": 1.5}], "figures": SOUND, "batch_size": 4} | changes
    found = detect_divergence(**given, limits=LIMITS)
    assert found is None if expected is None else expected in found


def test_all_causes_are_listed():
    found = detect_divergence(
        8, 7, [{"contrastive": 2.0}, {"contrastive": 9.0}], {"relative_limb": 50.0, "relative_chest": 60.0}, 4, LIMITS
    )
    assert found.count(";") == 3


def test_embeddings_that_are_not_finite_are_a_divergence(make_params):
    vectors = [torch.tensor([[1.0, math.inf]])]
    with pytest.raises(Diverged, match="not finite"):
        geometry(build_model(make_params()), vectors, (vectors, vectors))


@pytest.fixture
def project(tmp_path, monkeypatch, make_params):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(make_params().model_dump(mode="json", exclude={"data"})))
    return tmp_path


@pytest.mark.parametrize(
    ("rate", "more", "cause"),
    [
        (10, ["pretrain.probe.every_epochs=1"], "times that of predicting the mean"),
        (1e4, ["pretrain.warmup=0", "pretrain.max_bad_steps=1"], "2 non-finite steps in a row at step 2"),
    ],
)
def test_a_diverged_run_is_not_published(store, project, rate, more, cause):
    settings = [f"pretrain.learning_rate={rate}", "pretrain.checkpoint_every=4", "tracking.backend=none", *more]
    done = pretrain(store, settings)
    assert done.code == 5, done
    assert done.out == ""
    assert "error: pretraining diverged: " in done.err
    assert cause in done.err
    assert "Nothing was published. Reduce pretrain.learning_rate" in done.err
    assert not (project / "run").exists(), "neither outputs nor checkpoints are left"


def test_a_diverged_run_is_failed_in_mlflow(store, project):
    settings = ["pretrain.learning_rate=1e4", "pretrain.warmup=0", "pretrain.samples=32"]
    assert pretrain(store, settings).code == 5
    assert not (project / "run").exists()
    with sqlite3.connect("mlflow.db") as database:
        runs = dict(database.execute("SELECT run_uuid, status FROM runs"))
        tags = set(database.execute("SELECT key, value FROM tags WHERE key IN ('error_type', 'divergence')"))
    assert set(runs.values()) == {"FAILED"}
    assert ("error_type", "Diverged") in tags
    assert any(key == "divergence" and "steps were skipped" in value for key, value in tags)


def pretrain(store, settings):
    return ecgssl("pretrain", "--store", store.path, "--out", "run", *(v for s in settings for v in ("--set", s)))

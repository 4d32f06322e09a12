"""Fine-tuning stage from a store to metrics, for findings and numbers, in a mode with epochs and one without."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from small_cohort import small_encoder, small_params, small_store

from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.stages.finetune_and_evaluate import finetune_and_evaluate
from ecgssl.training.checkpoint import load_classifier


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    store = small_store(folder)
    return store, small_encoder(folder / "encoder", store)


@pytest.mark.parametrize(
    ("target", "mode", "metric", "lr"),
    [
        ("HIGH", "attentive", "macro AUROC", 1e-3),
        ("HIGH", "full", "macro AUROC", 1e-12),
        ("VOLTS", "linear", "MAE", 1e-3),
    ],
)
def test_a_run_is_complete(cohort, tmp_path, target, mode, metric, lr):
    store, encoder = cohort
    params = small_params(
        attentive={"epochs": 1, "patience": 1}, full={"epochs": 1, "patience": 1, "learning_rate": lr}
    )
    run = finetune_and_evaluate(
        params, store, encoder, [target], mode, tmp_path, recorded="3lead", share=0.8, show_progress=False
    )
    choices = json.loads((tmp_path / "classifier/choices.json").read_text())["choices"]
    shown = f"{mode} (linear probe kept)" if choices.get("epoch") == 0 else mode
    assert f"| {target} | {shown} | 80 % | 3lead | 8 | {metric} |" in run.board
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["labels"] == [target]
    assert set(figures["models"]) == {mode, "random", figures["clinical"]}
    model, _ = load_classifier(tmp_path / "classifier", store.spec)
    assert model.targets == (target,)
    assert Decision.load(tmp_path / "classifier").names == (target,)
    predictions = pd.read_csv(tmp_path / "classifier/predictions.csv")
    assert predictions["split"].value_counts().to_dict() == {"val": 24, "test": 24}
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"classifier", "evaluation.json"} | ({"roc.png", "reliability.png"} if target == "HIGH" else set())

"""Bundles without graphs, made in one second, for tests that score with torch only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from deploy_models import SPEC, TINY, classifier

import ecgssl.export.bundle as bundles
import ecgssl.export.write_graphs as graphs
from ecgssl.config import ExportParams, QualityParams
from ecgssl.evaluation.calibration.decision import fit_decision
from ecgssl.export.write_graphs import WrittenGraphs
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.training.checkpoint import save_model


def plain_bundle(
    folder: Path, kind: str = "multilabel", *, decided: bool = True, targets: tuple[str, ...] = ()
) -> Path:
    """Return a bundle with random weights.

    Args:
        folder: new folder.
        kind: kind of the task, or ``encoder``.
        decided: whether to add calibrators and thresholds, fitted on noise.
        targets: outputs of a classifier; the default depends on the kind.
    """
    model = _model(kind, targets)
    save_model(folder / "model", model, SPEC, {"task": "superclass", "mode": "linear"})
    if isinstance(model, Classifier) and decided:
        generator = np.random.default_rng(0)
        logits = generator.normal(size=(200, len(model.targets)))
        noisy = logits + generator.normal(size=logits.shape)
        truth = {
            "multilabel": (noisy > 0).astype(float),
            "multiclass": np.eye(logits.shape[1])[noisy.argmax(axis=1)],
            "regression": noisy,
        }[kind]
        fit_decision(kind, model.targets, logits, truth, fitted_on={"split": "val", "recordings": 200}).save(
            folder / "model"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "write_graphs", lambda *_: WrittenGraphs())
        bundles.export_bundle(folder / "model", folder / "bundle", ExportParams(), quality=QualityParams(flat_sd=0.004))
    return folder / "bundle"


def _model(kind: str, targets: tuple[str, ...]) -> Encoder | Classifier:
    if kind == "encoder":
        return Encoder(TINY, SPEC.leads, SPEC.samples)
    if kind == "multilabel" and not targets:
        return classifier()
    torch.manual_seed(1)
    return Classifier(Encoder(TINY, SPEC.leads, SPEC.samples), targets or ("A", "B", "C"), kind=kind)

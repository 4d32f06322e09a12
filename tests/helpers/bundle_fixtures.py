"""Fixtures with exported bundles, made once because an export takes seconds. Tests that alter a bundle use a copy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from deploy_models import LEAN, SPEC, TINY, beats, classifier, decision

from ecgssl.config import ExportParams, QualityParams
from ecgssl.export.bundle import export_bundle
from ecgssl.export.validation_recordings import ValidationRecordings
from ecgssl.model.encoder import Encoder
from ecgssl.training.checkpoint import save_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a classifier's folder, its bundle and the result of the export."""
    folder = tmp_path_factory.mktemp("export")
    about = {"task": "superclass", "mode": "linear", "data": {"set": "synthetic", "train": 300}}
    save_model(folder / "model", classifier(), SPEC, about)
    decision().save(folder / "model")
    examples = np.stack([beats(i, 100) / np.float32(1000) for i in range(3)]).astype(np.float32)
    examples[1, 6:] = 0
    result = export_bundle(
        folder / "model",
        folder / "bundle",
        ExportParams(),
        validation=ValidationRecordings(examples),
        quality=QualityParams(flat_sd=0.004),
    )
    return SimpleNamespace(model_dir=folder / "model", path=folder / "bundle", result=result, examples=examples)


@pytest.fixture(scope="session")
def encoder_bundle(tmp_path_factory):
    """Return the bundle of an encoder."""
    folder = tmp_path_factory.mktemp("encoder")
    save_model(folder / "model", Encoder(TINY, SPEC.leads, SPEC.samples), SPEC)
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams())
    return folder / "bundle"

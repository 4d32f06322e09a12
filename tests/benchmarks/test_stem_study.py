"""Probe of an untrained stem: features compared with those of an encoder, and a run on a small store."""

from __future__ import annotations

import json

import numpy as np
import stem_study
import torch

from ecgssl.config import ModelParams, StemParams
from ecgssl.model.encoder import Encoder
from ecgssl.training.embed import embed_store


def test_features_are_the_shares_of_an_embedding(store):
    params = ModelParams(width=8, depth=1, heads=2, patch=50, pooling="lead", stem=StemParams(filters=3))
    torch.manual_seed(0)
    encoder = Encoder(params, store.spec.leads, store.spec.samples)
    rows = np.arange(5)
    found = stem_study.share_features(encoder.stem, store, rows, batch_size=2)
    per_lead = embed_store(encoder, store, rows, show_progress=False)[:, 24:].reshape(5, len(store.spec.leads), 8 + 3)
    np.testing.assert_allclose(found.reshape(5, -1, 3), per_lead[..., 8:], atol=1e-5)


def test_run_prints_a_row_per_combination(store, capsys):
    targets = list(store.targets[:1])
    stem_study.main(["--store", str(store.path), "--targets", *targets, "--filters", "2", "--offsets", "1", "5"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["filters"], row["offsets"], row["features"]) for row in rows] == [
        (2, 1, 2 * len(store.spec.leads)), (2, 5, 2 * len(store.spec.leads)),
    ]  # fmt: skip
    assert all(0 <= row["auroc"] <= 1 for row in rows)

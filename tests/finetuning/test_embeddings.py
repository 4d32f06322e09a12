"""Cache of embeddings: kept between calls, and separate for encoders that differ in weights or in parameters only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgssl.config import ModelParams, StemParams
from ecgssl.finetuning.embeddings import cached_embeddings
from ecgssl.model.encoder import Encoder
from ecgssl.training.embed import embed_store

ROWS = np.array([4, 1, 9])


def encoder(store, **changes) -> Encoder:
    torch.manual_seed(0)
    stem = StemParams(filters=6, **changes)
    model = ModelParams(width=32, depth=1, heads=2, patch=50, stem=stem)
    return Encoder(model, store.spec.leads, store.spec.samples).eval()


def test_only_missing_rows_are_computed(store, tmp_path, monkeypatch):
    model, asked = encoder(store), []

    def counted(encoder, store, rows, **settings):
        asked.append(rows.tolist())
        return embed_store(encoder, store, rows, **settings)

    monkeypatch.setattr("ecgssl.finetuning.embeddings.embed_store", counted)
    first = cached_embeddings(model, store, ROWS, tmp_path, show_progress=False)
    second = cached_embeddings(model, store, np.array([9, 2]), tmp_path, show_progress=False)
    assert asked == [[1, 4, 9], [2]]
    np.testing.assert_array_equal(second[0], first[2])
    np.testing.assert_allclose(first, embed_store(model, store, ROWS, precision="fp32", show_progress=False), atol=1e-5)


@pytest.mark.parametrize("changes", [{"share_offsets": 5}, {"shares": 4}])
def test_encoders_with_the_same_weights_and_other_parameters_do_not_share_embeddings(store, tmp_path, changes):
    one, other = encoder(store), encoder(store, **changes)
    other.load_state_dict(one.state_dict())
    cached_embeddings(one, store, ROWS, tmp_path, show_progress=False)
    found = cached_embeddings(other, store, ROWS, tmp_path, show_progress=False)
    expected = embed_store(other, store, ROWS, precision="fp32", show_progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)

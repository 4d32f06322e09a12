"""Embeddings of a store: order, masks, and independence of the batch size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from short_store import shortened

from ecgssl.model.encoder import Encoder
from ecgssl.training.embed import embed_store


@pytest.fixture(scope="module")
def encoder(make_params):
    torch.manual_seed(0)
    params = make_params()
    return Encoder(params.model, params.signal.leads, params.signal.samples)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_changes_nothing(encoder, store, batch_size):
    rows = np.array([7, 5, 0, 23, 5])
    embeddings = embed_store(encoder, store, rows, batch_size=batch_size, show_progress=False)
    assert embeddings.shape == (5, encoder.embed_dim)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings[1], embeddings[4], atol=1e-5)
    signal, mask = store.signals(rows), store.lead_mask(rows)
    assert not mask[1].all()
    for i in range(5):
        x = torch.from_numpy(signal[i] / np.float32(0.2))[None]
        with torch.no_grad():
            expected = encoder.embed(x, torch.from_numpy(mask[i])[None])[0]
        np.testing.assert_allclose(embeddings[i], expected, atol=1e-4)


def test_missing_time_changes_nothing(encoder, store):
    lengths, rows = np.resize([500, 320, 260], len(store)), np.arange(7)
    given = embed_store(encoder, shortened(store, lengths, 1e6), rows, show_progress=False)
    np.testing.assert_array_equal(
        given, embed_store(encoder, shortened(store, lengths, 0.0), rows, show_progress=False)
    )
    complete = embed_store(encoder, store, rows, show_progress=False)
    np.testing.assert_allclose(given[::3], complete[::3], atol=1e-5)
    signal = torch.from_numpy(store.signals(rows[1:2])[..., :300])
    other = Encoder(encoder.params, store.spec.leads, 300).eval()
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        np.testing.assert_allclose(given[1:2], other.embed(signal / 0.2), atol=1e-4)


def test_the_encoder_is_left_ready_and_can_still_be_trained(make_params, store):
    params = make_params()
    encoder = Encoder(params.model, params.signal.leads, params.signal.samples, drop_path=0.9).train()
    first, again = (embed_store(encoder, store, np.arange(4), show_progress=False) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    encoder.embed(torch.randn(2, 12, 500)).sum().backward()
    assert all(p.grad is not None for p in encoder.blocks.parameters())


def test_no_rows(encoder, store):
    assert embed_store(encoder, store, np.array([], dtype=np.int64)).shape == (0, encoder.embed_dim)


def test_bf16_embeddings_are_close_to_fp32(encoder, store):
    rows = np.arange(12)
    fp32, bf16 = (embed_store(encoder, store, rows, precision=p, show_progress=False) for p in ("fp32", "bf16"))
    assert not np.array_equal(fp32, bf16)
    assert bf16.dtype == np.float32
    # bf16 has 8 significant bits
    np.testing.assert_allclose(bf16, fp32, atol=0.02 * np.abs(fp32).max())

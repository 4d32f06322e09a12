"""Stem and embeddings per lead compared with NumPy, and their independence of hidden and unrecorded samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ModelParams, StemParams
from ecgssl.model.encoder import Encoder
from ecgssl.model.stem import SOFTNESS, Stem, initial_filters
from ecgssl.signal.leads import LEADS

PATCH, COLUMNS = 50, 10


def encoder(pooling: str = "lead", filters: int = 6, leads: tuple[str, ...] = LEADS) -> Encoder:
    torch.manual_seed(0)
    stem = StemParams(filters=filters, offsets=5)
    params = ModelParams(width=32, depth=2, heads=2, patch=PATCH, pooling=pooling, stem=stem)
    return Encoder(params, leads, PATCH * COLUMNS).eval()


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@settings(max_examples=20, deadline=None)
@given(offsets=st.sampled_from([1, 2, 5, 10]), filters=st.integers(1, 4), seed=st.integers(0, 100))
def test_responses_are_filters_at_offsets_around_every_patch(offsets, filters, seed):
    torch.manual_seed(seed)
    stem = Stem(StemParams(filters=filters, offsets=offsets), PATCH, 8)
    x = torch.randn(2, 3, 4 * PATCH)
    found = stem(x).detach().numpy()
    step = PATCH // offsets
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (PATCH, PATCH)))
    weight, bias = stem.filters.weight.detach().double().numpy(), stem.filters.bias.detach().double().numpy()
    for lead in range(3):
        for column in range(4):
            for offset in range(offsets):
                start = PATCH + column * PATCH + (offset - offsets // 2) * step
                window = padded[:, lead, start : start + PATCH]
                np.testing.assert_allclose(found[:, lead * 4 + column, offset], window @ weight.T + bias, atol=1e-4)


@pytest.mark.parametrize("patch", [4, 12, 50, 100])
def test_initial_filters_have_mean_0_and_norm_1(patch):
    torch.manual_seed(0)
    filters = initial_filters(40, patch)
    assert filters.shape == (40, patch)
    assert float(filters.mean(dim=1).abs().max()) < 1e-6
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(40))


@torch.inference_mode()
def test_visible_tokens_do_not_depend_on_hidden_samples(recordings):
    model = encoder()
    keep = torch.rand(8, 120, generator=torch.Generator().manual_seed(1)).argsort(dim=1)[:, :40].sort(dim=1).values
    hidden = (
        torch.ones(8, 120, dtype=torch.bool).scatter(1, keep, False).view(8, 12, 10).repeat_interleave(PATCH, dim=2)
    )
    expected = model(recordings, keep=keep)
    found = model(torch.where(hidden, torch.randn(recordings.shape), recordings), keep=keep)
    assert torch.equal(found.tokens, expected.tokens)
    assert expected.shares is None


@torch.inference_mode()
def test_embedding_per_lead_equals_numpy(recordings):
    model = encoder()
    present = torch.ones(8, 12, dtype=torch.bool)
    present[0, [1, 4, 7]] = False
    x = torch.where(present[..., None], recordings, 0)
    found = model.embed(x, present).numpy()
    assert found.shape == (8, model.embed_dim) == (8, 3 * 32 + 12 * (32 + 6))
    tokens = model(x, present).tokens.view(8, 12, COLUMNS, 32).numpy()
    shares = torch.sigmoid(model.stem(x) / SOFTNESS).mean(dim=2).view(8, 12, COLUMNS, 6).numpy()
    values = np.concatenate([tokens, shares], axis=-1).mean(axis=2)  # (8, 12, 38)
    values[0, ~present[0].numpy()] = values[0, present[0].numpy()].mean(axis=0)
    np.testing.assert_allclose(found[:, 96:], values.reshape(8, -1), atol=1e-5)
    assert bool(model.embed(x[:1], torch.zeros(1, 12, dtype=torch.bool)).isfinite().all())


def test_share_counts_responses_above_the_threshold():
    stem = Stem(StemParams(filters=3, offsets=5), PATCH, 8)
    responses = torch.tensor([10.0, 10.0, -10.0, 10.0, -10.0])[None, None, :, None].expand(2, 4, 5, 3)
    torch.testing.assert_close(stem.shares(responses), torch.full((2, 4, 3), 0.6))


@torch.inference_mode()
def test_embedding_of_the_recording_has_the_shares_of_all_leads(recordings):
    model = encoder("recording")
    found = model.embed(recordings)
    assert found.shape == (8, 3 * 32 + 6)
    expected = torch.sigmoid(model.stem(recordings) / SOFTNESS).mean(dim=(1, 2))
    assert differ(found[:, 96:], expected) < 1e-6


@pytest.mark.parametrize("recorded", [250, 260, 499])
@torch.inference_mode()
def test_short_recording_equals_a_shorter_window(recordings, recorded):
    model = encoder()
    columns = recorded // PATCH
    lead_mask = torch.rand(8, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    lead_mask[:, 0] = True
    x = recordings.clone()
    x[..., recorded:] = float("nan")
    other = Encoder(model.params, LEADS, columns * PATCH).eval()
    other.load_state_dict(model.state_dict())
    found = model.embed(x, lead_mask, torch.full((8,), recorded))
    assert differ(found, other.embed(recordings[..., : columns * PATCH], lead_mask)) < 1e-5


@torch.inference_mode()
def test_shares_depend_little_on_the_position_of_a_beat(recordings):
    model = encoder(filters=20)
    first, shifted = model.embed(recordings), model.embed(recordings.roll(10, dims=2))
    shares = torch.tensor([i % 52 >= 32 for i in range(12 * 52)])
    assert differ(first[:, 96:][:, shares], shifted[:, 96:][:, shares]) <= 0.1
    # a shift by one offset moves windows by one place; only those at both ends differ
    assert float(first[:, 96:][:, shares].std(dim=0).max()) > 0.05

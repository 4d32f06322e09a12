"""Stem and embeddings per lead compared with NumPy, and their independence of hidden and unrecorded samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ModelParams, StemParams
from ecgssl.model.encoder import Encoder
from ecgssl.model.stdm import draw_columns
from ecgssl.model.stem import DILATIONS, SOFTNESS, Stem, random_filters, support
from ecgssl.signal.leads import LEADS

PATCH, COLUMNS = 50, 10


def encoder(pooling: str = "lead", filters: int = 6, leads: tuple[str, ...] = LEADS) -> Encoder:
    torch.manual_seed(0)
    stem = StemParams(filters=filters, offsets=5)
    params = ModelParams(width=32, depth=2, heads=2, patch=PATCH, pooling=pooling, stem=stem)
    return Encoder(params, leads, PATCH * COLUMNS).eval()


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def responses(stem: Stem, x: torch.Tensor, offsets: int) -> np.ndarray:
    """Return the responses (B, L, N, O, F) relative to the thresholds, with NumPy."""
    patch = stem.patch
    step = patch // offsets
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (patch, patch)))
    first = patch - (offsets // 2) * step
    starts = first + np.arange(x.shape[-1] // patch)[:, None] * patch + np.arange(offsets) * step  # (N, O)
    windows = padded[:, :, starts[..., None] + np.arange(patch)]  # (B, L, N, O, P)
    return windows @ stem.filters.double().numpy().T - stem.thresholds.double().numpy()


@settings(max_examples=20, deadline=None)
@given(
    patch=st.sampled_from([10, 20, 50, 100]),
    offsets=st.sampled_from([1, 2, 5, 10]),
    filters=st.integers(1, 13),
    seed=st.integers(0, 100),
)
@torch.inference_mode()
def test_stem_equals_numpy(patch, offsets, filters, seed):
    torch.manual_seed(seed)
    stem = Stem(StemParams(filters=filters, offsets=offsets, share_offsets=offsets), patch, 8, COLUMNS * patch)
    x = torch.randn(2, 3, 4 * patch)
    expected = responses(stem, x, offsets)
    flat = torch.from_numpy(expected).float().reshape(2, 12, -1)
    np.testing.assert_allclose(stem(x), stem.to_token(torch.nn.functional.gelu(flat)), atol=1e-4)
    shares = np.clip(expected / SOFTNESS + 0.5, 0, 1)
    np.testing.assert_allclose(stem.shares(x), shares.mean(axis=3).reshape(2, 12, filters), atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(
    patch=st.sampled_from([10, 30, 50, 100]),
    batch=st.integers(1, 9),
    visible=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_shares_in_chunks_and_their_gradient_equal_those_of_graphs(patch, batch, visible, seed):
    """Graphs use convolutions; also with hidden patches and several chunks of recordings."""
    torch.manual_seed(seed)
    stem = Stem(StemParams(filters=20, offsets=5, share_offsets=10), patch, 8, COLUMNS * patch)
    x = torch.randn(batch, 3, 4 * patch, requires_grad=True)
    keep = torch.stack([torch.randperm(12)[:visible] for _ in range(batch)])
    for at in (None, keep):
        eager, graph = stem.shares(x, at), stem._shares_of_graph(x, at)
        assert eager.shape == graph.shape
        assert differ(eager.detach(), graph.detach()) <= 1e-5
        weight = torch.randn_like(eager)
        slopes = [torch.autograd.grad((found * weight).sum(), x)[0] for found in (eager, graph)]
        # a response at the end of a ramp can be on either side, so a few gradients differ
        assert float(torch.isclose(*slopes, rtol=1e-3, atol=1e-3).float().mean()) >= 0.99


@torch.inference_mode()
def test_shares_are_not_rounded_to_bfloat16(recordings):
    stem = encoder(filters=20).stem
    with torch.autocast("cpu", torch.bfloat16):
        found = stem.shares(recordings)
    assert torch.equal(found, stem.shares(recordings))


def test_filters_and_thresholds_are_saved_and_not_trained():
    stem = Stem(StemParams(filters=4), PATCH, 8, COLUMNS * PATCH)
    assert {"filters", "thresholds"} <= stem.state_dict().keys()
    assert {name for name, _ in stem.named_parameters()} == {"to_token.weight", "to_token.bias"}


@pytest.mark.parametrize("patch", [4, 12, 50, 100])
def test_random_filters_have_mean_0_and_norm_1(patch):
    torch.manual_seed(0)
    filters = random_filters(40, patch)
    assert filters.shape == (40, patch)
    assert float(filters.mean(dim=1).abs().max()) < 1e-6
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(40))


@pytest.mark.parametrize("patch", [4, 12, 50, 100])
def test_all_values_of_the_filters_are_in_the_longest_support(patch):
    filters, (start, stop) = random_filters(40, patch), support(max(DILATIONS), patch)
    assert filters[:, start:stop].count_nonzero() == filters.count_nonzero()
    assert filters[:, [start, stop - 1]].any(dim=0).all(), "the support is larger than the filters"


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
    shares = model.stem.shares(x).view(8, 12, COLUMNS, 6).numpy()
    values = np.concatenate([tokens, shares], axis=-1).mean(axis=2)  # (8, 12, 38)
    values[0, ~present[0].numpy()] = values[0, present[0].numpy()].mean(axis=0)
    np.testing.assert_allclose(found[:, 96:], values.reshape(8, -1), atol=1e-5)
    assert bool(model.embed(x[:1], torch.zeros(1, 12, dtype=torch.bool)).isfinite().all())


@torch.inference_mode()
def test_embedding_with_the_shares_of_each_lead_is_a_part_of_the_embedding_per_lead(recordings):
    whole, part = encoder("lead"), encoder("lead_shares")
    found = part.embed(recordings)
    assert found.shape == (8, part.embed_dim) == (8, 3 * 32 + 12 * 6)
    expected = whole.embed(recordings)
    assert torch.equal(found[:, :96], expected[:, :96])
    assert differ(found[:, 96:], expected[:, 96:].view(8, 12, 38)[:, :, 32:].reshape(8, 72)) < 1e-6


@torch.inference_mode()
def test_embedding_of_the_recording_has_the_shares_of_all_leads(recordings):
    model = encoder("recording")
    found = model.embed(recordings)
    assert found.shape == (8, 3 * 32 + 6)
    expected = model.stem.shares(recordings).mean(dim=1)
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
    first, shifted = model.embed(recordings), model.embed(recordings.roll(2, dims=2))
    shares = torch.tensor([i % 52 >= 32 for i in range(12 * 52)])
    assert differ(first[:, 96:][:, shares], shifted[:, 96:][:, shares]) <= 0.1
    # a shift by one step moves windows by one place; only those at both ends differ
    assert float(first[:, 96:][:, shares].std(dim=0).max()) > 0.05


@pytest.mark.parametrize("pooling", ["recording", "lead", "lead_shares"])
@torch.inference_mode()
def test_embedding_of_some_columns_equals_numpy(recordings, pooling):
    model = encoder(pooling)
    keep = draw_columns(0.6, len(recordings), 12, COLUMNS, 0, torch.Generator().manual_seed(1))
    out = model(recordings, keep=keep, shares=True)
    every = model(recordings).shares.numpy()
    here = np.stack([every[row, kept] for row, kept in enumerate(keep.numpy())])  # (B, K, F)
    np.testing.assert_allclose(out.shares, here, atol=1e-5)
    columns = keep.shape[1] // 12
    by_lead = [out.tokens.numpy(), here] if pooling == "lead" else [here]
    values = np.concatenate(by_lead, axis=-1).reshape(len(recordings), 12, columns, -1).mean(axis=2)
    expected = values.mean(axis=1) if pooling == "recording" else values.reshape(len(recordings), -1)
    mean = out.tokens.numpy().mean(axis=1)
    embedding = model.pool(out).numpy()
    np.testing.assert_allclose(embedding[:, :32], mean, atol=1e-5)
    np.testing.assert_allclose(embedding[:, 96:], expected, atol=1e-5)


@torch.inference_mode()
def test_shares_are_not_computed_for_masks_of_pretraining(recordings):
    keep = draw_columns(0.6, len(recordings), 12, COLUMNS, 0, torch.Generator().manual_seed(1))
    assert encoder()(recordings, keep=keep).shares is None

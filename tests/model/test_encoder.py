"""Encoder: inputs that change a representation, and inputs that must not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ModelParams, StemParams
from ecgssl.model.encoder import Encoder, EncoderOutput
from ecgssl.signal.leads import LEADS


@pytest.fixture(scope="module")
def encoder(small):
    torch.manual_seed(0)
    return Encoder(small, LEADS, 500).eval()


def leads_mask(*absent: str) -> torch.Tensor:
    return torch.tensor([[lead not in absent for lead in LEADS]])


def differ(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def test_shapes(encoder, recordings):
    out = encoder(recordings)
    assert out.tokens.shape == (8, 120, 32)
    assert out.global_.shape == (8, 32)
    assert out.valid is None
    embedding = encoder.embed(recordings)
    assert embedding.shape == (8, encoder.embed_dim) == (8, 96)
    assert embedding.dtype == torch.float32


def test_patches_are_cut_lead_by_lead(encoder, recordings):
    patches = encoder.patches(recordings)
    for lead, column in ((0, 0), (4, 9), (11, 3)):
        expected = recordings[:, lead, 50 * column : 50 * (column + 1)]
        assert torch.equal(patches[:, lead * 10 + column], expected)


@torch.inference_mode()
def test_residual_zero_starts_with_tokens_of_their_patches_alone(small, recordings):
    torch.manual_seed(0)
    encoder = Encoder(small.model_copy(update={"residual": 0.0}), LEADS, 500).eval()
    expected = encoder.embed_norm(encoder.embed_patch(encoder.patches(recordings))) + encoder.positions()
    assert differ(encoder(recordings).tokens, encoder.norm(expected)) < 1e-5


@torch.inference_mode()
def test_absent_leads_change_nothing(encoder, recordings):
    mask = leads_mask("aVL", "V3", "V4").expand(8, -1)
    garbage = torch.where(mask[..., None], recordings, 1000 * torch.randn(500))
    silent = torch.where(mask[..., None], recordings, 0)
    assert differ(encoder.embed(garbage, mask), encoder.embed(silent, mask)) < 1e-5
    assert differ(encoder.embed(recordings, mask), encoder.embed(recordings)) > 1e-3
    everything = torch.ones(8, 12, dtype=torch.bool)
    assert differ(encoder.embed(recordings, everything), encoder.embed(recordings)) < 1e-5


@torch.inference_mode()
def test_an_embedding_does_not_depend_on_the_batch(encoder, recordings):
    mask = torch.rand(8, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    together = encoder.embed(recordings, mask)
    alone = torch.cat([encoder.embed(recordings[i : i + 1], mask[i : i + 1]) for i in range(8)])
    assert differ(together, alone) < 1e-5


@pytest.mark.parametrize(("preset", "width", "depth"), [("tiny", 128, 4), ("small", 384, 12)])
@torch.inference_mode()
def test_presets_never_mix_recordings(recordings, preset, width, depth):
    torch.manual_seed(0)
    encoder = Encoder(ModelParams(preset=preset, patch=50), LEADS, 500).eval()
    assert (encoder.width, len(encoder.blocks)) == (width, depth)
    assert ModelParams(preset="base").shape == (768, 12, 12)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[1, 2:] = False
    mask[2, :7] = False
    together, alone = encoder(recordings[:3], mask), [encoder(recordings[i : i + 1], mask[i : i + 1]) for i in range(3)]
    for i, single in enumerate(alone):
        assert differ(together.global_[i], single.global_[0]) < 1e-5
        assert differ(together.tokens[i, together.valid[i]], single.tokens[0, single.valid[0]]) < 1e-5


@torch.inference_mode()
def test_hiding_leads_by_keep_is_masking_them(encoder, recordings):
    mask = leads_mask("II", "V2", "V6")
    visible = mask[0].repeat_interleave(encoder.columns).nonzero()[:, 0].expand(8, -1)
    kept = encoder(recordings, None, visible)
    masked = encoder(recordings, mask.expand(8, -1))
    assert kept.tokens.shape == (8, 90, 32)
    assert differ(kept.tokens, masked.tokens[:, visible[0]]) < 1e-4
    assert differ(kept.global_, masked.global_) < 1e-4
    assert differ(encoder.pool(kept), encoder.pool(masked)) < 1e-4


@torch.inference_mode()
def test_keep_is_attention_over_the_same_tokens(encoder, recordings):
    generator = torch.Generator().manual_seed(2)
    keep = torch.rand(8, 120, generator=generator).argsort(dim=1)[:, :37].sort(dim=1).values
    # the reference processes all tokens and masks the hidden ones in the attention
    seen = torch.zeros(8, 120, dtype=torch.bool).scatter(1, keep, True)
    tokens = encoder.embed_norm(encoder.embed_patch(encoder.patches(recordings))) + encoder.positions()
    tokens = torch.cat([encoder.global_token.expand(8, -1, -1), tokens], dim=1)
    for block in encoder.blocks:
        tokens = block(tokens, torch.cat([torch.ones(8, 1, dtype=torch.bool), seen], dim=1))
    tokens = encoder.norm(tokens)
    out = encoder(recordings, None, keep)
    expected = torch.stack([tokens[b, 1 + keep[b]] for b in range(8)])
    assert differ(out.tokens, expected) < 1e-4
    assert differ(out.global_, tokens[:, 0]) < 1e-4


@torch.inference_mode()
def test_keep_and_lead_mask_together(encoder, recordings):
    mask = leads_mask("V1").expand(8, -1)
    keep = torch.arange(0, 120, 2).expand(8, -1)
    out = encoder(recordings, mask, keep)
    expected = [LEADS[k // 10] != "V1" for k in range(0, 120, 2)]
    assert out.valid[3].tolist() == expected
    without = keep[:, torch.tensor(expected)]
    assert differ(out.global_, encoder(recordings, None, without).global_) < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("lead", ["I", "V2"])
def test_voltage_survives(encoder, recordings, lead):
    louder = recordings.clone()
    louder[:, LEADS.index(lead)] *= 1.5
    assert differ(encoder.embed(louder), encoder.embed(recordings)) > 1e-3
    assert differ(encoder.embed(2 * recordings), encoder.embed(recordings)) > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("leads", [("II", "V2", "V5"), ("V6", "aVR"), ("I",), LEADS[::-1]])
def test_the_same_weights_serve_other_leads(encoder, small, recordings, leads):
    other = Encoder(small, leads, 500).eval()
    other.load_state_dict(encoder.state_dict())
    rows = [LEADS.index(lead) for lead in leads]
    mask = leads_mask(*set(LEADS) - set(leads)).expand(8, -1)
    assert differ(other.embed(recordings[:, rows]), encoder.embed(recordings, mask)) < 1e-5


@torch.inference_mode()
def test_time_and_lead_of_a_patch_matter(encoder, recordings):
    assert differ(encoder.embed(recordings.roll(250, dims=2)), encoder.embed(recordings)) > 1e-4
    assert differ(encoder.embed(recordings.roll(1, dims=1)), encoder.embed(recordings)) > 1e-4


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(1, 9), width=st.integers(1, 5), seed=st.integers(0, 1000), masked=st.booleans())
def test_pool_equals_numpy(tokens, width, seed, masked):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, tokens, width)).astype(np.float32)
    whole = rng.normal(size=(3, width)).astype(np.float32)
    valid = rng.random((3, tokens)) < 0.5 if masked else np.ones((3, tokens), dtype=bool)
    valid[:, 0] = True
    out = EncoderOutput(torch.from_numpy(values), torch.from_numpy(whole), torch.from_numpy(valid) if masked else None)
    expected = [
        np.concatenate([v[m].mean(axis=0), np.sqrt(v[m].var(axis=0) + 1e-6), g])
        for v, m, g in zip(values, valid, whole, strict=True)
    ]
    encoder = Encoder(ModelParams(patch=50, pooling="recording", stem=StemParams(filters=0)), LEADS, 500)
    np.testing.assert_allclose(encoder.pool(out), expected, atol=1e-5)


def test_a_recording_without_leads_is_finite(encoder, recordings):
    embedding = encoder.embed(recordings[:1], torch.zeros(1, 12, dtype=torch.bool))
    assert bool(embedding.isfinite().all())


def test_samples_must_be_whole_patches(small):
    with pytest.raises(ValueError, match="501"):
        Encoder(small, LEADS, 501)

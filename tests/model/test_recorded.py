"""Short recordings: the missing time has no influence, and complete recordings keep their results."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import FDAParams, ObjectiveParams, STDMParams
from ecgssl.model.attention_rollout import rollout
from ecgssl.model.classifier import Classifier
from ecgssl.model.core_ecg import CoReECG, circular_shift
from ecgssl.model.encoder import Encoder
from ecgssl.model.fda import FDA
from ecgssl.model.reconstruction_error import hidden_by
from ecgssl.model.recorded import recorded_columns
from ecgssl.signal.leads import LEADS
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import NormaliseSpec

SAMPLES, PATCH = 500, 50
GARBAGE = (0.0, 1e6, float("nan"))


@pytest.fixture(scope="module")
def encoder(small):
    torch.manual_seed(0)
    return Encoder(small, LEADS, SAMPLES).eval()


def core(small, **changes) -> CoReECG:
    torch.manual_seed(0)
    options = {"fda": {"kind": "fda", "knots": 16}, "stdm": {}, "objective": {"projector": 8}}
    o = {name: options[name] | changes.get(name, {}) for name in options}
    model = CoReECG(
        small, FDAParams(**o["fda"]), STDMParams(**o["stdm"]), ObjectiveParams(**o["objective"]),
        LEADS, SAMPLES, 100.0, (0.5, 40.0),
    )  # fmt: skip
    torch.nn.init.normal_(model.fda.importance)
    return model.eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def differ(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def filled(x: torch.Tensor, recorded: int, value: float) -> torch.Tensor:
    out = x.clone()
    out[..., recorded:] = value
    return out


@settings(max_examples=25, deadline=None)
@given(recorded=st.integers(PATCH, SAMPLES), garbage=st.sampled_from(GARBAGE), masked=st.booleans())
@torch.inference_mode()
def test_a_short_recording_is_the_full_tensor_without_its_missing_columns(
    encoder, recordings, recorded, garbage, masked
):
    x = recordings[:2]
    lead_mask = torch.rand(2, 12, generator=seeded(1)) < 0.7 if masked else None
    columns = recorded // PATCH
    keep = (torch.arange(12)[:, None] * 10 + torch.arange(columns)).flatten().expand(2, -1)
    expected = encoder(x, lead_mask, keep)
    lengths = torch.full((2,), recorded)
    found = encoder(filled(x, recorded, garbage), lead_mask, recorded=lengths)
    assert differ(found.global_, expected.global_) < 1e-5
    assert differ(found.tokens[:, keep[0]], expected.tokens) < 1e-5
    assert differ(encoder.pool(found), encoder.pool(expected)) < 1e-5
    assert found.valid.view(2, 12, 10)[..., columns:].sum() == 0
    # the same weights in an encoder whose window has the length of the recording
    other = Encoder(encoder.params, LEADS, columns * PATCH).eval()
    other.load_state_dict(encoder.state_dict())
    assert differ(other.embed(x[..., : columns * PATCH], lead_mask), encoder.pool(found)) < 1e-5


@torch.inference_mode()
def test_a_partly_recorded_patch_is_absent(encoder, recordings):
    lengths = torch.full((8,), 349)
    expected = encoder.embed(recordings, recorded=torch.full((8,), 300))
    for value in (0.0, 50.0):
        x = recordings.clone()
        x[..., 300:349] = value
        assert torch.equal(encoder.embed(x, recorded=lengths), expected)
    assert differ(encoder.embed(recordings, recorded=lengths + 1), expected) > 1e-3
    assert recorded_columns(torch.tensor([0, 49, 50, 349, 500]), 10, 50).sum(dim=1).tolist() == [0, 0, 1, 6, 10]


@torch.inference_mode()
def test_a_recording_does_not_depend_on_the_lengths_in_its_batch(encoder, recordings):
    lengths = torch.tensor([500, 320, 500, 260, 499, 500, 150, 500])
    model = Classifier(encoder, ("a", "b"), queries=2, crops=3).eval()
    together = model.with_embedding(recordings, None, lengths)
    for i, length in enumerate(lengths.tolist()):
        given_length = None if length == SAMPLES else lengths[i : i + 1]
        for whole, alone in zip(together, model.with_embedding(recordings[i : i + 1], None, given_length), strict=True):
            assert differ(whole[i], alone[0]) < 1e-5


@torch.inference_mode()
def test_complete_recordings_keep_their_results(small, encoder, recordings):
    complete = torch.full((8,), SAMPLES)
    lead_mask = torch.rand(8, 12, generator=seeded(1)) < 0.7
    assert torch.equal(encoder.embed(recordings, lead_mask, complete), encoder.embed(recordings, lead_mask))
    model = Classifier(encoder, ("a",), crops=3).eval()
    assert torch.equal(model(recordings, lead_mask, complete), model(recordings, lead_mask))
    assert torch.equal(circular_shift(recordings, seeded(), complete), circular_shift(recordings, seeded()))
    core_ecg = core(small)
    arguments = (lead_mask, torch.arange(8), 3, 0.5)
    before = core_ecg(recordings, *arguments, seeded())
    after = core_ecg(recordings, *arguments, seeded(), recorded=complete)
    assert all(torch.equal(before[name], after[name]) for name in before)


@settings(max_examples=25, deadline=None)
@given(recorded=st.integers(1, SAMPLES), seed=st.integers(0, 100))
def test_shift_rotates_the_recorded_samples_only(recorded, seed):
    x = torch.arange(1.0, SAMPLES + 1).expand(3, 2, -1)
    lengths = torch.tensor([recorded, SAMPLES, recorded])
    out = circular_shift(x, seeded(seed), lengths)
    for row, length in zip(out, lengths.tolist(), strict=True):
        start = int(row[0, 0]) - 1
        assert torch.equal(row[0, :length], x[0, 0, :length].roll(-start))
        assert torch.equal(row[1], row[0])
        assert torch.equal(row[0, length:], x[0, 0, length:])


@pytest.mark.parametrize("options", [{}, {"dynamic": True, "phase": 1.0}, {"kind": "jitter_scale"}])
@torch.inference_mode()
def test_augmentation_is_that_of_the_recorded_samples(recordings, options):
    fda = FDA(FDAParams(knots=16, **options), LEADS, 100.0, (0.5, 40.0))
    for parameter in fda.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    lengths = torch.tensor([330, 500, 330, 251])
    x = torch.stack([filled(one, length, 0.0) for one, length in zip(recordings, lengths.tolist(), strict=False)])
    out = fda(x, 0.5, seeded(), lengths)
    kept = fda.kept_fraction(x, lengths)
    for i, length in enumerate(lengths.tolist()):
        assert not out[i, :, length:].any()
        assert differ(out[i], x[i]) > 1e-3
        if fda.params.kind == "fda":
            alone = fda(recordings[:4, :, :length], 0.5, seeded())[i]
            assert differ(out[i, :, :length], alone) < 1e-5
            if fda.dynamic is not None:
                assert differ(kept[i], fda.kept_fraction(recordings[i : i + 1, :, :length])[0]) < 1e-5


@pytest.mark.parametrize("fda", [{}, {"dynamic": True}, {"kind": "jitter_scale"}])
@pytest.mark.parametrize("target", ["patch_norm", "plain"])
def test_unrecorded_samples_have_no_influence_on_pretraining_and_no_gradient(small, recordings, fda, target):
    model = core(small, fda=fda, objective={"target": target})
    lengths = torch.tensor([330, 500, 499, 260])
    where = torch.arange(SAMPLES) < lengths[:, None, None]
    found = []
    for garbage in GARBAGE:
        x = torch.where(where, recordings[:4], garbage).requires_grad_(True)
        terms = model(x, None, torch.arange(4), 3, 0.5, seeded(), recorded=lengths)
        terms["loss"].backward()
        assert bool(x.grad.isfinite().all())
        assert not x.grad[~where.expand_as(x)].any()
        assert x.grad[where.expand_as(x)].any()
        found.append(terms)
    for name, value in found[0].items():
        assert bool(value.isfinite())
        assert all(torch.equal(value, other[name]) for other in found[1:])


@torch.inference_mode()
def test_patches_that_were_not_recorded_are_never_a_target(small, recordings):
    model = core(small, fda={"kind": "none"}, objective={"kind": "reconstruction", "target": "plain"})
    model.shift = False
    lengths = torch.tensor([330, 500, 499, 260, 500, 500, 500, 100])
    view = model.views(recordings, None, 3, 0.5, seeded(), (False,), recorded=lengths)[0]
    there = (torch.arange(1, 11) * PATCH <= lengths[:, None])[:, None]
    scored = view.mask.hidden & there
    error = (view.predicted - model.encoder.patches(view.original)).square().mean(dim=-1).view(8, 12, 10)
    assert model.reconstruction(view, None).item() == pytest.approx(error[scored].mean().item(), rel=1e-5)
    causes = hidden_by(view.mask, LEADS, None, recorded_columns(lengths, 10, PATCH))
    assert torch.equal(causes["limb"] | causes["chest"], scored.flatten(1))


@torch.inference_mode()
def test_attention_does_not_reach_the_missing_time(encoder, recordings):
    share = rollout(encoder, recordings, None, torch.full((8,), 349))
    assert not share[..., 300:].any()
    torch.testing.assert_close(share.sum(dim=(1, 2)), torch.ones(8))


@torch.inference_mode()
def test_normalisation_and_encoder_see_seven_of_ten_seconds(encoder, recordings):
    spec, mask = NormaliseSpec(), torch.ones(8, 12, dtype=torch.bool)
    x = 0.3 * recordings
    lengths = torch.full((8,), 350)
    short = normalise(filled(x, 350, float("nan")), mask, spec, lengths)
    other = Encoder(encoder.params, LEADS, 350).eval()
    other.load_state_dict(encoder.state_dict())
    expected = other.embed(normalise(x[..., :350], mask, spec), mask)
    assert differ(encoder.embed(short, mask, lengths), expected) < 1e-5

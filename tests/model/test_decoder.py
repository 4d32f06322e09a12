"""The decoder: what a prediction depends on."""

from __future__ import annotations

import pytest
import torch

from ecgssl.model.decoder import Decoder
from ecgssl.model.encoder import EncoderOutput
from ecgssl.signal.leads import LEADS

COLUMNS = 10
KEEP = torch.arange(0, 120, 3).expand(2, -1)


def decoder(small, scope: str, leads=LEADS) -> Decoder:
    torch.manual_seed(0)
    params = small.model_copy(update={"decoder": small.decoder.model_copy(update={"scope": scope, "depth": 2})})
    return Decoder(params, leads, COLUMNS).eval()


def encoded(seed: int = 0, valid: torch.Tensor | None = None) -> EncoderOutput:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(2, KEEP.shape[1], 32, generator=generator)
    return EncoderOutput(tokens, torch.randn(2, 32, generator=generator), valid)


def changed_leads(first: torch.Tensor, second: torch.Tensor) -> list[int]:
    """Leads of which any predicted patch differs."""
    change = (first - second).abs().amax(dim=(0, 2)).view(12, COLUMNS)
    return [lead for lead in range(12) if change[lead].max() > 1e-6]


@pytest.mark.parametrize("scope", ["joint", "leadwise"])
@torch.inference_mode()
def test_shape_and_dependence_on_the_global_representation(small, scope):
    model, out = decoder(small, scope), encoded()
    predicted = model(out, KEEP)
    assert predicted.shape == (2, 120, 50)
    other = model(EncoderOutput(out.tokens, out.global_ + 1, None), KEEP)
    assert changed_leads(predicted, other) == list(range(12))


@torch.inference_mode()
def test_a_mask_token_carries_the_global_representation_itself(small):
    model, out = decoder(small, "joint"), encoded()
    # without blocks nothing can come by attention
    model.blocks = torch.nn.ModuleList()
    change = model(out, KEEP) - model(EncoderOutput(out.tokens, out.global_ + 1, None), KEEP)
    hidden = torch.ones(120, dtype=torch.bool)
    hidden[KEEP[0]] = False
    assert torch.equal(change[0].abs().amax(dim=1) > 1e-4, hidden)


@pytest.mark.parametrize("lead", [0, 7])
@torch.inference_mode()
def test_scope_decides_which_leads_a_lead_can_see(small, lead):
    out = encoded()
    tokens = torch.where((lead == KEEP // COLUMNS)[..., None], torch.randn(32), out.tokens)
    other = EncoderOutput(tokens, out.global_, None)
    leadwise, joint = decoder(small, "leadwise"), decoder(small, "joint")
    assert changed_leads(leadwise(out, KEEP), leadwise(other, KEEP)) == [lead]
    assert changed_leads(joint(out, KEEP), joint(other, KEEP)) == list(range(12))


@pytest.mark.parametrize("scope", ["joint", "leadwise"])
@torch.inference_mode()
def test_visible_tokens_of_absent_leads_change_nothing(small, scope):
    model = decoder(small, scope)
    valid = KEEP // COLUMNS != 4
    out = encoded(valid=valid)
    garbage = torch.where(valid[..., None], out.tokens, 100.0)
    before, after = (model(EncoderOutput(t, out.global_, valid), KEEP) for t in (out.tokens, garbage))
    hidden = torch.ones(120, dtype=torch.bool)
    hidden[KEEP[0]] = False
    assert float((before - after)[:, hidden].abs().max()) < 1e-5
    everything = model(EncoderOutput(out.tokens, out.global_, torch.ones_like(valid)), KEEP)
    torch.testing.assert_close(everything, model(EncoderOutput(out.tokens, out.global_, None), KEEP))


@pytest.mark.parametrize("scope", ["joint", "leadwise"])
@torch.inference_mode()
def test_tokens_go_where_keep_says(small, scope):
    model, out = decoder(small, scope), encoded()
    order = torch.randperm(KEEP.shape[1], generator=torch.Generator().manual_seed(1))
    shuffled = model(EncoderOutput(out.tokens[:, order], out.global_, None), KEEP[:, order])
    torch.testing.assert_close(shuffled, model(out, KEEP))
    # recordings with masks of their own
    keep = torch.stack([KEEP[0], KEEP[0] + 1])
    both = model(out, keep)
    alone = model(EncoderOutput(out.tokens[1:], out.global_[1:], None), keep[1:])
    torch.testing.assert_close(both[1:], alone)


@torch.inference_mode()
def test_lead_and_time_of_a_hidden_patch_are_known(small):
    predicted = decoder(small, "joint")(encoded(), KEEP)[0]
    hidden = predicted[[1, 2, 4, 11, 61]]
    assert torch.pdist(hidden).min() > 1e-3

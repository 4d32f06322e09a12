"""Decoder: which inputs a prediction depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgssl.model.decoder import START, Decoder, LeadHead, TimeMixing
from ecgssl.model.encoder import EncoderOutput
from ecgssl.signal.leads import LEADS

COLUMNS = 10
KEEP = torch.arange(0, 120, 3).expand(2, -1)
SCOPES = ["joint", "leadwise", "axial"]


def decoder(small, scope: str, leads=LEADS, **switches) -> Decoder:
    """Return a decoder with larger weights in the last layer, so that differences in its input are visible."""
    torch.manual_seed(0)
    params = small.model_copy(
        update={"decoder": small.decoder.model_copy(update={"scope": scope, "depth": 2, **switches})}
    )
    model = Decoder(params, leads, COLUMNS).eval()
    with torch.no_grad():
        model.to_patch.weight.div_(START)
    return model


def encoded(seed: int = 0, valid: torch.Tensor | None = None) -> EncoderOutput:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(2, KEEP.shape[1], 32, generator=generator)
    return EncoderOutput(tokens, torch.randn(2, 32, generator=generator), valid)


def changed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return which patches have different predictions, (12, COLUMNS) bool."""
    return (first - second).abs().amax(dim=(0, 2)).view(12, COLUMNS) > 1e-6


def changed_leads(first: torch.Tensor, second: torch.Tensor) -> list[int]:
    return changed(first, second).any(dim=1).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("head", ["shared", "lead"])
@pytest.mark.parametrize("scope", SCOPES)
@torch.inference_mode()
def test_shape_and_dependence_on_the_global_representation(small, scope, head):
    out = encoded()
    other = EncoderOutput(out.tokens, out.global_ + 1, None)
    model = decoder(small, scope, head=head)
    predicted = model(out, KEEP)
    assert predicted.shape == (2, 120, 50)
    assert bool(changed(predicted, model(other, KEEP)).all())
    without = decoder(small, scope, head=head, global_representation=False)
    assert torch.equal(without(out, KEEP), without(other, KEEP))


@torch.inference_mode()
def test_a_mask_token_carries_the_global_representation_itself(small):
    # without blocks and mixing, a prediction depends on its own token only
    model, out = decoder(small, "joint", mixing=1), encoded()
    model.blocks = torch.nn.ModuleList()
    change = model(out, KEEP) - model(EncoderOutput(out.tokens, out.global_ + 1, None), KEEP)
    hidden = torch.ones(120, dtype=torch.bool)
    hidden[KEEP[0]] = False
    assert torch.equal(change[0].abs().amax(dim=1) > 1e-4, hidden)


@torch.inference_mode()
def test_it_starts_by_predicting_the_mean(small):
    torch.manual_seed(0)
    fresh = Decoder(small, LEADS, COLUMNS)(encoded(), KEEP)
    assert 0 < float(fresh.abs().max()) < 0.1


@pytest.mark.parametrize("lead", [0, 7])
@torch.inference_mode()
def test_scope_decides_which_leads_a_lead_can_see(small, lead):
    out = encoded()
    tokens = torch.where((lead == KEEP // COLUMNS)[..., None], torch.randn(32), out.tokens)
    other = EncoderOutput(tokens, out.global_, None)
    for scope, seen in (("leadwise", [lead]), ("joint", list(range(12))), ("axial", list(range(12)))):
        model = decoder(small, scope)
        assert changed_leads(model(out, KEEP), model(other, KEEP)) == seen


@pytest.mark.parametrize("kernel", [1, 3, 5])
@torch.inference_mode()
def test_axial_blocks_and_mixing_each_reach_as_far_as_they_should(small, kernel):
    out = encoded()
    tokens = out.tokens.clone()
    at = int((KEEP[0] == 75).nonzero())  # lead 7, column 5
    tokens[:, at] += torch.randn(32)
    other = EncoderOutput(tokens, out.global_, None)
    for block, expected in ((0, "lead"), (1, "column")):
        model = decoder(small, "axial", mixing=kernel)
        # a block with zero output does not change the receptive field
        idle = model.blocks[1 - block]
        for last in (idle.attention.out, idle.mlp[2]):
            last.weight.zero_()
        found = changed(model(out, KEEP), model(other, KEEP))
        reach = torch.zeros(12, COLUMNS, dtype=torch.bool)
        near = slice(5 - kernel // 2, 6 + kernel // 2)
        if expected == "lead":
            reach[7] = True
        else:
            reach[:, near] = True
        assert torch.equal(found, reach)


@torch.inference_mode()
def test_mixing_is_a_convolution_within_a_lead():
    torch.manual_seed(0)
    mixing = TimeMixing(6, 3)
    tokens = torch.randn(2, 4, 7, 6)
    normed = F.layer_norm(tokens, (6,)).numpy()
    weight, bias = mixing.convolution.weight.numpy(), mixing.convolution.bias.numpy()
    expected = tokens.numpy().copy()
    for n in range(7):
        for k in range(3):
            if 0 <= n + k - 1 < 7:
                expected[:, :, n] += normed[:, :, n + k - 1] @ weight[:, :, k].T
        expected[:, :, n] += bias
    np.testing.assert_allclose(mixing(tokens), expected, atol=1e-5)


@torch.inference_mode()
def test_every_lead_has_its_layer_whatever_its_row():
    torch.manual_seed(0)
    head, tokens = LeadHead(LEADS, 6, 5), torch.randn(2, 12, 3, 6)
    torch.testing.assert_close(head(tokens), tokens @ head.weight[0])
    head.weight.normal_()
    head.bias.normal_()
    out = head(tokens)
    for row in range(12):
        torch.testing.assert_close(out[:, row], tokens[:, row] @ head.weight[row] + head.bias[row])
    fewer = LeadHead(("V2", "aVR"), 6, 5)
    fewer.load_state_dict(head.state_dict())
    rows = [LEADS.index("V2"), LEADS.index("aVR")]
    torch.testing.assert_close(fewer(tokens[:, rows]), out[:, rows])


@pytest.mark.parametrize("scope", SCOPES)
@torch.inference_mode()
def test_visible_tokens_of_absent_leads_change_nothing(small, scope):
    model = decoder(small, scope)
    valid = KEEP // COLUMNS != 4
    out = encoded(valid=valid)
    garbage = torch.where(valid[..., None], out.tokens, 100.0)
    before, after = (model(EncoderOutput(t, out.global_, valid), KEEP) for t in (out.tokens, garbage))
    assert torch.equal(before, after)
    everything = model(EncoderOutput(out.tokens, out.global_, torch.ones_like(valid)), KEEP)
    torch.testing.assert_close(everything, model(EncoderOutput(out.tokens, out.global_, None), KEEP))


@pytest.mark.parametrize("scope", SCOPES)
@torch.inference_mode()
def test_an_absent_lead_is_a_hidden_one(small, scope):
    model, out = decoder(small, scope), encoded()
    present = KEEP[0] // COLUMNS != 4
    absent = model(EncoderOutput(out.tokens, out.global_, present.expand(2, -1)), KEEP)
    hidden = model(EncoderOutput(out.tokens[:, present], out.global_, None), KEEP[:, present])
    torch.testing.assert_close(absent, hidden)


@pytest.mark.parametrize("scope", SCOPES)
@torch.inference_mode()
def test_tokens_go_where_keep_says(small, scope):
    model, out = decoder(small, scope), encoded()
    order = torch.randperm(KEEP.shape[1], generator=torch.Generator().manual_seed(1))
    shuffled = model(EncoderOutput(out.tokens[:, order], out.global_, None), KEEP[:, order])
    torch.testing.assert_close(shuffled, model(out, KEEP))
    # each recording has a different mask
    keep = torch.stack([KEEP[0], KEEP[0] + 1])
    both = model(out, keep)
    alone = model(EncoderOutput(out.tokens[1:], out.global_[1:], None), keep[1:])
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("scope", SCOPES)
@torch.inference_mode()
def test_lead_and_time_of_a_hidden_patch_are_known(small, scope):
    predicted = decoder(small, scope, head="shared")(encoded(), KEEP)[0]
    hidden = predicted[[1, 2, 4, 11, 61]]
    assert torch.pdist(hidden).min() > 1e-3

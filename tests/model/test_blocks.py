"""Transformer blocks compared with NumPy, and the expectation of stochastic depth."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from ecgssl.model import blocks
from ecgssl.model.blocks import Attention, Block, DropPath, attention_by_products, init_weights, sincos_position


@pytest.mark.parametrize(("length", "width"), [(1, 2), (40, 16), (240, 128)])
def test_positions_are_distinct_and_of_one_length(length, width):
    position = sincos_position(length, width)
    assert position.shape == (length, width)
    assert torch.pdist(position).min() > 0.05 if length > 1 else True
    # sin^2 + cos^2 for every frequency
    assert position.square().sum(dim=1).numpy() == pytest.approx(np.full(length, width / 2), rel=1e-5)
    np.testing.assert_allclose(position[:, 0], np.sin(np.arange(length)), atol=1e-6)


def test_neighbours_in_time_are_more_alike_than_strangers():
    position = sincos_position(40, 64)
    similarity = position @ position.T
    assert all(similarity[10, 10 + k] > similarity[10, 11 + k] for k in range(5))


def test_drop_path_keeps_the_expectation():
    torch.manual_seed(0)
    drop = DropPath(0.3).train()
    x = torch.ones(20_000, 2, 3)
    out = drop(x)
    per_recording = out.flatten(1)
    assert set(np.round(per_recording.unique().tolist(), 5)) == {0.0, round(1 / 0.7, 5)}
    assert bool((per_recording == per_recording[:, :1]).all()), "stochastic depth drops whole recordings"
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop.eval()(x), x)
    assert DropPath(0.0).train()(x) is x


def test_attention_equals_numpy():
    torch.manual_seed(0)
    attention = Attention(8, 2)
    x = torch.randn(3, 5, 8)
    valid = torch.rand(3, 5) < 0.6
    valid[:, 0] = True
    got = attention(x, valid).detach().numpy()
    weight, bias = attention.qkv.weight.detach().numpy(), attention.qkv.bias.detach().numpy()
    for b in range(3):
        q, k, v = np.split(x[b].numpy() @ weight.T + bias, 3, axis=1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            score = q[:, h] @ k[:, h].T / 2
            score[:, ~valid[b].numpy()] = -np.inf
            share = np.exp(score - score.max(axis=1, keepdims=True))
            heads.append(share / share.sum(axis=1, keepdims=True) @ v[:, h])
        out = np.concatenate(heads, axis=1)
        expected = out @ attention.out.weight.detach().numpy().T + attention.out.bias.detach().numpy()
        np.testing.assert_allclose(got[b], expected, atol=1e-5)
    assert torch.equal(attention(x, None), attention(x, None))
    torch.testing.assert_close(attention(x, None), attention(x, torch.ones_like(valid)))


def test_a_block_that_drops_everything_is_the_identity():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    assert torch.equal(Block(8, 2, 4.0, drop_path=1 - 1e-7).train()(x), x)
    assert not torch.equal(Block(8, 2, 4.0).eval()(x), x)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scores", [1, 300, 2**20])
def test_products_are_the_fused_attention(masked, scores, monkeypatch):
    """Compare output and gradient in fp32, for steps of one, two and all five recordings."""
    torch.manual_seed(0)
    monkeypatch.setattr(blocks, "SCORES", scores)
    mask = (torch.rand(5, 1, 1, 7) < 0.6).index_fill(3, torch.tensor([0]), True) if masked else None
    inputs = [torch.randn(5, 3, 7, 4, requires_grad=True) for _ in range(3)]
    weight = torch.randn(5, 3, 7, 4)
    found = []
    for attend in (attention_by_products, torch.nn.functional.scaled_dot_product_attention):
        y = attend(*inputs, attn_mask=mask)
        found.append([y, *torch.autograd.grad((y * weight).sum(), inputs)])
    for products, fused in zip(*found, strict=True):
        torch.testing.assert_close(products, fused, atol=1e-5, rtol=1e-5)


def test_softmax_of_bf16_scores_is_rounded_once():
    """Each weight is the nearest bf16 number to the softmax of the scores in float64, or its neighbour at a tie."""
    scores = torch.randn(50, 97, generator=torch.Generator().manual_seed(0)).mul(3).bfloat16()
    exact = scores.double().softmax(dim=-1)
    error = (scores.softmax(dim=-1).double() - exact).abs() / exact
    assert float(error.max()) < 2**-8


def test_attention_in_bf16_is_the_same_in_training(monkeypatch):
    """Training uses plain products and evaluation the fused kernel; results agree to bf16 rounding."""
    torch.manual_seed(0)
    attention = Attention(32, 2)
    x, valid = torch.randn(4, 9, 32), torch.arange(9)[None] < torch.tensor([9, 8, 5, 1])[:, None]
    exact = attention(x, valid)
    used = []
    monkeypatch.setattr(
        blocks, "attention_by_products", lambda *a, **k: used.append(1) or attention_by_products(*a, **k)
    )
    with torch.autocast("cpu", torch.bfloat16):
        training, fused = attention.train()(x, valid), attention.eval()(x, valid)
    assert used == [1]
    torch.testing.assert_close(training.float(), exact, atol=0.02, rtol=0.02)
    torch.testing.assert_close(training, fused, atol=0.02, rtol=0.02)


@torch.inference_mode()
def test_a_shrunk_block_starts_nearer_to_the_identity():
    torch.manual_seed(0)
    block, x = Block(16, 2, 2.0).apply(init_weights), torch.randn(2, 5, 16)
    change = []
    for size in (1.0, 0.1, 0.0):
        copy = deepcopy(block)
        copy.shrink(size)
        change.append(float((copy(x) - x).norm()))
    assert 0.05 * change[0] < change[1] < 0.2 * change[0]
    assert change[2] == 0

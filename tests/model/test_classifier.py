"""Classifier: its head compared with closed forms, and a test that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecgssl.model.classifier import Classifier, Head, QueryPooling, start_attentive
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS


def test_head_standardises_first():
    torch.manual_seed(0)
    head = Head(6, 3)
    head.mean.normal_()
    head.scale.uniform_(0.5, 2)
    x = torch.randn(5, 6)
    standard = (x.numpy() - head.mean.numpy()) / head.scale.numpy()
    expected = standard @ head.linear.weight.detach().numpy().T + head.linear.bias.detach().numpy()
    np.testing.assert_allclose(head(x).detach(), expected, atol=1e-5)
    assert {"mean", "scale"} <= set(head.state_dict()), "statistics are stored with the weights"
    assert {name for name, _ in head.named_parameters()} == {"linear.weight", "linear.bias"}


def test_logits_by_name_and_mask(small, recordings):
    torch.manual_seed(0)
    model = Classifier(Encoder(small, LEADS, 500), ["AF", "PVC"]).eval()
    assert model.targets == ("AF", "PVC")
    mask = torch.ones(8, 12, dtype=torch.bool)
    mask[:, 3] = False
    logits = model(recordings, mask)
    assert logits.shape == (8, 2)
    garbage = recordings.clone()
    garbage[:, 3] = 99
    torch.testing.assert_close(model(garbage, mask), logits)
    torch.testing.assert_close(model.head(model.encoder.embed(recordings, mask)), logits)


def test_learns_arbitrary_labels_of_eight_recordings(small, recordings):
    torch.manual_seed(0)
    model = Classifier(Encoder(small, LEADS, 500), ["a", "b"])
    labels = torch.tensor([[i % 2, i // 2 % 2] for i in range(8)]).float()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(model(recordings), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
    assert torch.equal(model(recordings) > 0, labels > 0.5)
    assert losses[-1] == pytest.approx(0, abs=0.1)


def test_queries_pool_tokens_as_attention_does():
    """The reference is torch's multi-head attention with one query, whose key projection is folded into the queries."""
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    tokens, query = torch.randn(4, 7, 12), torch.randn(1, 1, 12)
    valid = torch.rand(4, 7) > 0.4
    valid[:, 0] = True
    _, weights = attention(
        query.expand(4, -1, -1), tokens, tokens, key_padding_mask=~valid, average_attn_weights=False
    )  # (B, heads, 1, N)
    w_q, w_k = attention.in_proj_weight[:12].reshape(3, 4, 12), attention.in_proj_weight[12:24].reshape(3, 4, 12)
    folded = torch.einsum("h e d, h e f, f -> h d", w_k, w_q, query[0, 0])
    pooling = QueryPooling(12, 3)
    # torch scales by the head width, the classifier by the token width
    pooling.queries.data = folded * 12**0.5 / 4**0.5
    expected = torch.einsum("b h n, b n d -> b h d", weights[:, :, 0], tokens).flatten(1)
    torch.testing.assert_close(pooling(tokens, valid), expected)
    assert torch.isfinite(pooling(tokens, torch.zeros_like(valid))).all()


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression"])
def test_an_attentive_head_starts_as_the_linear_one(small, recordings, kind):
    torch.manual_seed(0)
    linear = Classifier(Encoder(small, LEADS, 500), ["a", "b", "c"], kind).eval()
    for buffer in linear.head.buffers():
        buffer.uniform_(0.5, 2)
    if kind == "regression":
        linear.offset += 50
        linear.spread *= 9
    model = start_attentive(linear, 4)
    mask = torch.ones(8, 12, dtype=torch.bool)
    mask[:, 3] = False
    torch.testing.assert_close(model(recordings, mask), linear(recordings, mask))
    outputs, embedding = model.with_embedding(recordings, mask)
    torch.testing.assert_close(embedding, model.encoder.embed(recordings, mask))
    model.head.linear.weight.data.normal_()
    assert not torch.allclose(model(recordings, mask), outputs)
    garbage = recordings.clone()
    garbage[:, 3] = 99
    torch.testing.assert_close(model(garbage, mask), model(recordings, mask))
    assert (model.query_count, linear.query_count) == (4, 0)


def test_probabilities_by_kind(small):
    encoder = Encoder(small, LEADS, 500)
    logits = torch.tensor([[0.0, float(np.log(3.0))]])
    torch.testing.assert_close(Classifier(encoder, "ab").probability(logits), torch.tensor([[0.5, 0.75]]))
    torch.testing.assert_close(
        Classifier(encoder, "ab", "multiclass").probability(logits), torch.tensor([[0.25, 0.75]])
    )
    with pytest.raises(ValueError, match="values, not logits"):
        Classifier(encoder, "ab", "regression").probability(logits)

"""Optimiser groups with every parameter exactly once, and the schedule compared with closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ecgssl.model.classifier import Classifier, Head
from ecgssl.model.decoder import LeadHead
from ecgssl.model.encoder import Encoder
from ecgssl.pretraining.loop import build_model
from ecgssl.training.optim import adamw, cosine, finetune_groups, parameter_count, pretrain_groups, set_rates


def ids(parameters) -> list[int]:
    return sorted(id(p) for p in parameters)


def matrices(module: nn.Module) -> list[int]:
    """Return the parameters with weight decay by type instead of name: the weights of linear layers and convolutions."""
    return ids(m.weight for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv1d, LeadHead)))


def test_pretraining_groups(make_params):
    model = build_model(make_params())
    decayed, free, maps = pretrain_groups(model, 1e-3, 0.05, 0.01)
    assert ids([*decayed["params"], *free["params"], *maps["params"]]) == ids(model.parameters())
    assert ids(decayed["params"]) == matrices(model)
    assert ids(maps["params"]) == [id(model.fda.importance)]
    assert [g["weight_decay"] for g in (decayed, free, maps)] == [0.05, 0, 0]
    assert [g["peak"] for g in (decayed, free, maps)] == [1e-3, 1e-3, 0.01]
    assert parameter_count(model.parameters()) == sum(p.numel() for g in (decayed, free, maps) for p in g["params"])


def test_rates_fall_with_depth(make_params):
    params = make_params()
    model = Classifier(Encoder(params.model, params.signal.leads, params.signal.samples), ["AF"])
    encoder = model.encoder
    groups = finetune_groups(encoder, model.head, 1e-3, 0.05, 0.5)
    assert ids(p for g in groups for p in g["params"]) == ids(model.parameters())
    rate = {id(p): g["peak"] for g in groups for p in g["params"]}
    expected = {
        1e-3: [model.head.linear.bias, *encoder.norm.parameters()],
        # an embedding is three times as long as a token here
        1e-3 / 3: [model.head.linear.weight],
        5e-4: list(encoder.blocks[1].parameters()),
        2.5e-4: list(encoder.blocks[0].parameters()),
        1.25e-4: [
            *encoder.embed_patch.parameters(), *encoder.embed_norm.parameters(),
            encoder.global_token, encoder.lead_embedding.weight,
        ],
    }  # fmt: skip
    for value, parameters in expected.items():
        assert [rate[id(p)] for p in parameters] == pytest.approx([value] * len(parameters))  # type: ignore[attr-defined]
    assert sum(map(len, expected.values())) == len(rate)
    assert ids(p for g in groups if g["weight_decay"] for p in g["params"]) == matrices(model)


def test_rates_of_a_network_in_the_head_depend_on_its_inputs(make_params):
    params = make_params()
    encoder = Encoder(params.model, params.signal.leads, params.signal.samples)
    head = Head(encoder.embed_dim, 2, hidden=4 * encoder.width)
    rate = {id(p): g["peak"] for g in finetune_groups(encoder, head, 1e-3, 0.05, 0.5) for p in g["params"]}
    network = head.network
    expected = [
        (network.to_hidden.weight, 1e-3 * encoder.width / encoder.embed_dim),
        (network.to_outputs.weight, 1e-3 / 4),
        *((p, 1e-3) for p in (network.to_hidden.bias, network.to_outputs.bias, *network.norm.parameters())),
    ]
    for parameter, value in expected:
        assert rate[id(parameter)] == pytest.approx(value)


def test_without_layer_decay_all_rates_are_one(make_params):
    params = make_params()
    encoder = Encoder(params.model, params.signal.leads, params.signal.samples)
    head = Head(encoder.width, 1)
    assert {g["peak"] for g in finetune_groups(encoder, head, 0.01, 0, 1.0)} == {0.01}


@pytest.mark.parametrize("features", [64, 4096])
def test_the_first_step_changes_an_output_by_the_same_amount_for_any_number_of_features(make_params, features):
    params = make_params()
    encoder = Encoder(params.model, params.signal.leads, params.signal.samples)
    head = Head(features, 1)
    optimiser = adamw(finetune_groups(encoder, head, 0.01, 0.0, 1.0))
    x = torch.where(torch.rand(features, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    with torch.no_grad():
        head.linear.bias.zero_()
        before = float(head(x))
    head(x).sum().backward()
    head.linear.bias.grad = None
    optimiser.step()
    # every weight moves by its rate against the direction of its input
    assert before - float(head(x).detach()) == pytest.approx(0.01 * encoder.width, rel=1e-3)


@given(warmup=st.floats(0, 0.9), progress=st.floats(0, 1))
def test_schedule(warmup, progress):
    share = cosine(progress, warmup)
    assert 0 <= share <= 1
    if progress < warmup:
        assert share == pytest.approx(progress / warmup)
    else:
        along = (progress - warmup) / (1 - warmup)
        assert share == pytest.approx(math.cos(math.pi * along / 2) ** 2, abs=1e-9)


def test_schedule_ends():
    assert cosine(0, 0) == cosine(0.1, 0.1) == 1
    assert cosine(0, 0.1) == 0
    assert cosine(0.55, 0.1) == pytest.approx(0.5)
    assert cosine(1, 0.1) == pytest.approx(0)


def test_rates_are_shares_of_each_groups_peak():
    one, two = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    groups = [
        {"params": [one], "peak": 1e-3, "weight_decay": 0.0},
        {"params": [], "peak": 1.0, "weight_decay": 0.0},
        {"params": [two], "peak": 0.1, "weight_decay": 0.0},
    ]
    optimiser = adamw(groups)
    set_rates(optimiser, 0.25)
    assert [g["lr"] for g in optimiser.param_groups] == [0.00025, 0.025]
    one.grad, two.grad = torch.ones(2), -3 * torch.ones(2)
    optimiser.step()
    # the first step of Adam equals the learning rate, whatever the size of the gradient
    assert one.tolist() == pytest.approx([-0.00025] * 2, rel=1e-4)
    assert two.tolist() == pytest.approx([0.025] * 2, rel=1e-4)

"""Operation counts compared with torch's own counter and with closed forms."""

from __future__ import annotations

import pytest
import torch
from flops import training_flops
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecgssl.pretraining.loop import build_model


def counted(model, forward) -> tuple[int, int]:
    """Return the counts of this package and of torch, whose counter needs attention as matrix products."""
    with sdpa_kernel(SDPBackend.MATH):
        ours = training_flops(model, forward)
        with FlopCounterMode(display=False) as counter:
            forward().backward()
    return ours, counter.get_total_flops()


@pytest.mark.parametrize("scope", ["joint", "leadwise", "axial"])
@pytest.mark.parametrize("objective", ["core", "contrastive", "reconstruction"])
def test_a_step_against_the_counter_of_torch(make_params, objective, scope):
    params = make_params(
        objective={"kind": objective},
        fda={"kind": "none"},
        model={"width": 32, "depth": 2, "heads": 2, "decoder": {"width": 16, "depth": 2, "heads": 2, "scope": scope}},
    )
    model, x = build_model(params).train(), torch.randn(4, 12, 500)

    def forward():
        return model(x, None, torch.arange(4), 1, 0.5, torch.Generator().manual_seed(0))["loss"]

    ours, torchs = counted(model, forward)
    vectors = (
        2 * 4
    )  # for both views; the similarities of the loss are not a layer and have forward and backward products
    width = 0 if objective == "reconstruction" else params.objective.projector
    assert ours == torchs - 2 * vectors**2 * width * 3


def test_a_step_by_hand():
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3, bias=False))
    x = torch.randn(2, 11, 5)
    assert training_flops(model, lambda: model(x)) == 2 * 22 * 5 * 7 * 2 + 2 * 22 * 7 * 3 * 3, (
        "the input needs no gradient"
    )
    model[0].requires_grad_(False)
    assert training_flops(model, lambda: model(x)) == 2 * 22 * 5 * 7 + 2 * 22 * 7 * 3 * 2
    assert all(not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution(groups):
    model = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.Conv1d(4, 8, 5, groups=groups))
    x = torch.randn(2, 4, 20)
    ours, torchs = counted(model, lambda: model(x).sum())
    assert ours == 2 * (2 * 20 * 4) * 4 * 3 * 2 + 2 * (2 * 16 * 8) * (4 // groups) * 5 * 3
    if groups == 1:  # torch's counter does not divide by the groups
        assert ours == torchs

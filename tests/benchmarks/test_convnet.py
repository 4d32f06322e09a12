"""Supervised network of the results on PTB-XL: it learns, keeps its best epoch, and resumes exactly."""

from __future__ import annotations

from itertools import pairwise

import convnet
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from ecgssl.files import canonical_json


@pytest.fixture
def small(monkeypatch):
    """Replace ResNet-18 by one convolution with a mean over time."""

    def network(leads: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv1d(leads, 8, 9, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, outputs)
        )

    monkeypatch.setattr(convnet, "resnet18", network)


def test_a_stopped_run_resumes_with_the_same_result(store, small, tmp_path, monkeypatch):
    values = store.index[["AF"]].to_numpy(dtype=float)
    train, val = store.rows("train"), store.rows("val")
    settings = convnet.SETTINGS.model_copy(update={"epochs": 3, "batch_size": 8})
    whole, about = convnet.train_convnet(store, values, train, val, tmp_path / "whole", 0, settings=settings)
    assert len(about["scores"]) == 4
    assert canonical_json(about)
    outputs = convnet.outputs_of_network(whole, store, val)
    best = max(about["scores"])
    assert roc_auc_score(values[val, 0], outputs[:, 0]) == pytest.approx(best)
    assert about["scores"][about["epoch"]] == best

    calls = {"left": 2}
    scored = convnet.outputs_of_network

    def stop(*args, **kwargs):
        calls["left"] -= 1
        if calls["left"] < 0:
            raise KeyboardInterrupt
        return scored(*args, **kwargs)

    monkeypatch.setattr(convnet, "outputs_of_network", stop)
    with pytest.raises(KeyboardInterrupt):
        convnet.train_convnet(store, values, train, val, tmp_path / "stopped", 0, settings=settings)
    monkeypatch.setattr(convnet, "outputs_of_network", scored)
    resumed, _ = convnet.train_convnet(store, values, train, val, tmp_path / "stopped", 0, settings=settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_absent_leads_have_no_influence(store, small):
    network = convnet.resnet18(len(store.spec.leads), 1)
    shown = np.arange(len(store.spec.leads)) < 2
    rows = store.rows("val")
    found = convnet.outputs_of_network(network, store, rows, shown)
    assert not np.allclose(found, convnet.outputs_of_network(network, store, rows))
    with torch.no_grad():
        network[0].weight[:, 2:] = 100
    np.testing.assert_allclose(convnet.outputs_of_network(network, store, rows, shown), found, atol=1e-6)


def test_resnet18_has_its_known_number_of_parameters():
    """The 2-D network of He et al. with 3 x 3 kernels has 11,176,512 without stem and head; in 1-D a third of each kernel."""
    pytest.importorskip("monai", reason="MONAI is not installed")
    network = convnet.resnet18(12, 5)
    count = sum(p.numel() for p in network.parameters())
    widths = (64, 64, 128, 256, 512)
    stem = 12 * 64 * 7 + 2 * 64
    body = 0
    for before, width in pairwise(widths):
        body += 3 * before * width + 3 * width * width * 3 + 4 * 2 * width
        body += before * width + 2 * width if before != width else 0
    head = 512 * 5 + 5
    assert abs(count - stem - body - head) <= 64 + 2 * sum(widths), "up to biases"
    assert network(torch.zeros(2, 12, 1000)).shape == (2, 5)

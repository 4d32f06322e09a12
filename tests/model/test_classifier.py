"""The classifier: its head in closed form, and that it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgssl.model.classifier import Classifier, Head
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
    assert {"mean", "scale"} <= set(head.state_dict()), "statistics travel with the weights"
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

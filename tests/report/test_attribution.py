"""Attribution compared with closed forms and slow sums, and its dependence on the weights of the model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

from ecgssl.config import ModelParams
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.report.attribution import TOLERANCE, attribute, in_windows, share_by_lead
from ecgssl.signal.leads import LEADS

SIZES = ModelParams(width=32, depth=2, heads=2, patch=25)
SHOWN = ("I", "II", "V1", "V2", "V5")
V2, WAVE = SHOWN.index("V2"), slice(125, 150)


def untrained(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(Encoder(SIZES, SHOWN, 300), ["mark", "other"]).eval()


def marked(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise of 3 s, with a broad wave in V2 from 1.25 to 1.5 s in every second recording, and the labels."""
    x = np.random.default_rng(seed).normal(0, 0.5, (count, 5, 300)).astype(np.float32)
    label = np.arange(count) % 2
    x[label == 1, V2, WAVE] += 4 * np.hanning(25).astype(np.float32)
    # some recordings are nearly silent, so that the model has seen 0 mV
    x[::4] *= 0.01
    return torch.from_numpy(x), torch.from_numpy(label).float()


@pytest.fixture(scope="module")
def trained():
    """Return a classifier trained to detect the wave, and recordings it was not trained on."""
    model = untrained(0)
    x, y = marked(64, seed=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        rows = slice(16 * step % 64, 16 * step % 64 + 16)
        loss = F.binary_cross_entropy_with_logits(model(x[rows])[:, 0], y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, y = marked(8, seed=2)
    logit = model.eval()(x)[:, 0].detach()
    assert (logit > 0).float().equal(y)
    return SimpleNamespace(model=model, x=x, y=y.numpy())


class Quadratic(nn.Module):
    """The integrated gradients of sum(a x^2 + w x + c) from 0 are a x^2 + w x."""

    targets = ("t",)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.a, self.w = (nn.Parameter(torch.randn(3, 20, generator=generator)) for _ in range(2))

    def forward(self, x: torch.Tensor, lead_mask: torch.Tensor | None = None) -> torch.Tensor:
        return (self.a * x**2 + self.w * x + 0.3).sum(dim=(1, 2))[:, None]


def test_closed_form():
    model, x = Quadratic(), torch.randn(4, 3, 20, generator=torch.Generator().manual_seed(4))
    found = attribute(model, x, None, "t")
    np.testing.assert_allclose(found.values, (model.a * x**2 + model.w * x).detach(), atol=1e-5)
    np.testing.assert_allclose(found.baseline, 0.3 * 60, rtol=1e-5)
    assert found.complete.all()


def test_a_slow_sum_in_double_precision_agrees():
    model, (x, _) = untrained(0), marked(1, seed=5)
    found = attribute(model, x, None, "other")
    model = model.double()
    total = torch.zeros_like(x[0]).double()
    for i in range(64):
        point = (x.double() * (i + 0.5) / 64).requires_grad_(True)
        total += torch.autograd.grad(model(point)[0, 1], point)[0][0] / 64
    slow = (total * x[0].double()).numpy()
    np.testing.assert_allclose(found.values[0], slow, atol=1e-3 * np.abs(slow).max())


def test_the_map_adds_up_to_what_the_output_changed_by(trained):
    found = attribute(trained.model, trained.x, None, "mark")
    change = found.output - found.baseline
    np.testing.assert_allclose(
        found.values.sum(axis=(1, 2), dtype=float), change, atol=TOLERANCE * (1 + abs(change)).max()
    )
    assert found.complete.all()
    assert (found.gap <= TOLERANCE * (1 + np.abs(change))).all()
    with torch.no_grad():
        np.testing.assert_allclose(found.output, trained.model(trained.x)[:, 0], atol=1e-5)
        np.testing.assert_allclose(found.baseline, trained.model(0 * trained.x)[:, 0], atol=1e-5)


def test_it_finds_what_the_model_learned(trained):
    """The wave is one of sixty patches; its share of the map is far larger and positive."""
    found = attribute(trained.model, trained.x, None, "mark")
    for values in found.values[trained.y == 1]:
        assert values[V2, WAVE].sum() > 10 / 60 * np.abs(values).sum()
        smooth = in_windows(values, 100)
        assert np.unravel_index(smooth.argmax(), smooth.shape) in [(V2, i) for i in range(125, 150)]


def test_randomised_weights_destroy_the_map(trained):
    """A map that does not change with other weights does not explain the model (Adebayo et al. 2018)."""
    learned = attribute(trained.model, trained.x, None, "mark").values
    again = attribute(trained.model, trained.x, None, "mark").values
    np.testing.assert_array_equal(learned, again)
    for seed in (10, 11):
        other = attribute(untrained(seed), trained.x, None, "mark").values
        ranks = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(learned, other, strict=True)]
        assert abs(np.mean(ranks)) < 0.2
        assert np.abs(ranks).max() < 0.4


@pytest.mark.parametrize("method", ["integrated_gradients", "rollout"])
def test_one_is_as_many_and_absent_leads_get_nothing(trained, method):
    mask = torch.ones(8, 5, dtype=torch.bool)
    mask[2, [0, 3]] = mask[5, 2:] = False
    x = trained.x.clone()
    x[~mask] = 7.0
    found = attribute(trained.model, x, mask, "mark", method=method)
    assert (found.values[~mask.numpy()] == 0).all()
    assert (np.abs(found.values[mask.numpy()]).sum(axis=-1) > 0).all()
    for i in range(8):
        one = attribute(trained.model, x[i : i + 1], mask[i : i + 1], 0, method=method)
        for name in ("values", "output", "baseline", "gap", "steps"):
            np.testing.assert_array_equal(getattr(one, name)[0], getattr(found, name)[i])
    np.testing.assert_allclose(share_by_lead(found.values).sum(axis=1), 1)
    if method == "rollout":
        assert (found.values >= 0).all()
        np.testing.assert_allclose(found.values.sum(axis=(1, 2)), 1, rtol=1e-5)
        assert not found.complete.any()


def test_rollout_of_one_block_is_its_attention():
    """Without the identity half, rollout is the mean row of the attention matrix."""
    torch.manual_seed(0)
    model = Classifier(Encoder(SIZES.model_copy(update={"depth": 1}), LEADS[:3], 100), ["t"]).eval()
    x = torch.randn(1, 3, 100)
    seen = []
    attention = model.encoder.blocks[0].attention
    hook = attention.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    found = attribute(model, x, None, "t", method="rollout").values[0]
    hook.remove()
    tokens = seen[-1][0].detach()
    query, key = (nn.Linear(32, 32) for _ in range(2))
    for part, layer in enumerate((query, key)):
        layer.weight.data = attention.qkv.weight.data[32 * part : 32 * (part + 1)]
        layer.bias.data = attention.qkv.bias.data[32 * part : 32 * (part + 1)]
    heads = [
        torch.softmax(query(tokens)[:, h] @ key(tokens)[:, h].T / 4, dim=-1) for h in (slice(0, 16), slice(16, 32))
    ]
    mixed = (torch.eye(13) + sum(heads) / 2) / 2
    expected = mixed.mean(dim=0)[1:].detach()
    np.testing.assert_allclose(found.reshape(12, 25), (expected / expected.sum()).repeat(25, 1).T / 25, rtol=1e-4)


def test_what_cannot_be_attributed(trained):
    with pytest.raises(ValueError, match="no output 'AF'; use one of mark, other"):
        attribute(trained.model, trained.x, None, "AF")
    with pytest.raises(ValueError, match="x must be"):
        attribute(trained.model, trained.x, torch.ones(8, 3, dtype=torch.bool), "mark")
    assert attribute(trained.model, trained.x[:0], None, "mark").values.shape == (0, 5, 300)


def test_it_leaves_the_model_as_it_was(trained):
    """Attribution works inside inference mode, which the service uses."""
    trained.model.train()
    with torch.inference_mode():
        inside = attribute(trained.model, trained.x[:1], None, "mark")
    assert trained.model.training
    trained.model.eval()
    np.testing.assert_array_equal(inside.values, attribute(trained.model, trained.x[:1], None, "mark").values)
    assert all(parameter.grad is None or parameter.requires_grad for parameter in trained.model.parameters())


def test_windows_keep_the_sum():
    values = np.zeros((1, 2, 100), dtype=np.float32)
    values[0, 1, 50] = 3
    found = in_windows(values, 100, 0.05)
    np.testing.assert_allclose(found.sum(axis=-1), [[0, 3]])
    np.testing.assert_allclose(found[0, 1, 48:53], 0.6)

"""Loss terms compared with double loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.model.losses import SPREAD_FLOOR, TARGET_FLOOR, nt_xent, patch_target, reconstruction_loss, standardised


def slow_nt_xent(first, second, temperature, patients, same_patient) -> float:
    """Return the loss from loops over anchors, positives and negatives."""
    batch = len(first)
    z = np.concatenate([first, second]).astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    code = list(range(batch)) if patients is None else list(patients)
    total = 0.0
    for a in range(2 * batch):
        positives, others = [], []
        for b in range(2 * batch):
            if a == b:
                continue
            same_recording = a % batch == b % batch
            kin = code[a % batch] == code[b % batch]
            if same_recording or (kin and same_patient == "positive"):
                positives.append(b)
            if same_recording or not kin or same_patient != "ignore":
                others.append(b)
        denominator = math.log(sum(math.exp(z[a] @ z[b] / temperature) for b in others))
        total += np.mean([denominator - z[a] @ z[b] / temperature for b in positives])
    return total / (2 * batch)


def pair(batch: int, dim: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, dim, generator=generator), torch.randn(batch, dim, generator=generator)


@settings(max_examples=80, deadline=None)
@given(
    batch=st.integers(1, 7),
    dim=st.integers(2, 16),
    temperature=st.sampled_from([0.07, 0.2, 1.0, 10.0]),
    patients=st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=7, max_size=7)),
    same_patient=st.sampled_from(["ignore", "positive", "negative"]),
    seed=st.integers(0, 1000),
)
def test_nt_xent_equals_the_double_loop(batch, dim, temperature, patients, same_patient, seed):
    first, second = pair(batch, dim, seed)
    codes = None if patients is None else patients[:batch]
    expected = slow_nt_xent(first.numpy(), second.numpy(), temperature, codes, same_patient)
    tensor = None if codes is None else torch.tensor(codes)
    first.requires_grad_()
    loss = nt_xent(first, second, temperature, tensor, same_patient)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert nt_xent(second, first, temperature, tensor, same_patient).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-5
    )
    scale = torch.rand(batch, 1, generator=torch.Generator().manual_seed(seed)) * 9 + 0.5
    scaled = nt_xent(first * scale, second / scale, temperature, tensor, same_patient)
    assert scaled.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    loss.backward()
    assert bool(first.grad.isfinite().all())


@pytest.mark.parametrize("batch", [2, 5, 64])
def test_nt_xent_closed_forms(batch):
    ones = torch.ones(batch, 8)
    assert nt_xent(ones, ones, 0.2).item() == pytest.approx(math.log(2 * batch - 1), rel=1e-5)
    axes = torch.eye(batch)
    expected = math.log(math.exp(1 / 0.2) + 2 * (batch - 1)) - 1 / 0.2
    assert nt_xent(axes, axes, 0.2).item() == pytest.approx(expected, abs=1e-5)


def test_recordings_of_one_patient_never_repel_each_other():
    patients, axes, sharp = torch.tensor([0, 0, 1]), torch.eye(8), math.exp(1 / 0.2)
    kin_sees, stranger_sees = math.log(sharp + 2) - 5, math.log(sharp + 4) - 5
    expected = (4 * kin_sees + 2 * stranger_sees) / 6
    # row 1 can be equal, orthogonal or opposite to row 0: no term changes, because all are orthogonal to row 2
    for kin in (axes[0], axes[1], -axes[0]):
        z = torch.stack([axes[0], kin, axes[2]])
        assert nt_xent(z, z, 0.2, patients).item() == pytest.approx(expected, abs=1e-5)
    assert nt_xent(z, z, 0.2).item() > 0
    assert nt_xent(z, z, 0.2, patients, "negative") == nt_xent(z, z, 0.2)
    duplicate = axes[[0, 0, 2]]
    assert nt_xent(duplicate, duplicate, 0.2).item() > nt_xent(duplicate, duplicate, 0.2, patients).item() + 0.5
    first, second = pair(2, 8, 0)
    first.requires_grad_()
    nt_xent(first, second, 0.2, patients[:2]).backward()
    assert float(first.grad.abs().max()) < 1e-6, "a single patient has no negatives"


def test_nt_xent_is_computed_in_float32():
    first, second = pair(4, 8, 0)
    half = nt_xent(first.bfloat16(), second.bfloat16(), 0.07)
    assert half.dtype == torch.float32
    exact = nt_xent(first.bfloat16().float(), second.bfloat16().float(), 0.07)
    assert half == exact
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent(first, second, 0.07) == nt_xent(first.double(), second.double(), 0.07).float()


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 9),
    dim=st.integers(1, 12),
    offset=st.floats(-50, 50),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 1000),
)
def test_standardised_is_the_batch_norm_of_both_views(batch, dim, offset, size, seed):
    first, second = (offset + size * z for z in pair(batch, dim, seed))
    norm = torch.nn.BatchNorm1d(dim, eps=SPREAD_FLOOR, affine=False).double().train()
    expected = norm(torch.cat([first, second]).double()).float()
    # float32 has seven digits for the offset, which limits the precision of the spread
    close = 1e-4 + 1e-5 * abs(offset) / size
    torch.testing.assert_close(torch.cat(standardised(first, second)), expected, rtol=close, atol=close)


def test_standardised_takes_out_what_vectors_have_in_common():
    first, second = pair(16, 8, 0)
    common = 100 * torch.randn(8, generator=torch.Generator().manual_seed(1))
    near = (common + first).requires_grad_()
    loss, plain = nt_xent(*standardised(near, common + second), 0.2), nt_xent(near, common + second, 0.2)
    assert loss.item() == pytest.approx(nt_xent(*standardised(first, second), 0.2).item(), rel=1e-3)
    assert plain.item() == pytest.approx(math.log(31), abs=0.01), "nearly one point for all"
    (slow,) = torch.autograd.grad(plain, near, retain_graph=True)
    (quick,) = torch.autograd.grad(loss, near)
    assert quick.norm() > 50 * slow.norm()
    ones = torch.ones(4, 8, requires_grad=True)
    loss = nt_xent(*standardised(ones, ones), 0.2)
    assert loss.item() == pytest.approx(math.log(7), rel=1e-5)
    loss.backward()
    assert bool(ones.grad.isfinite().all())


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 4), patches=st.integers(1, 9), size=st.integers(1, 6), seed=st.integers(0, 100))
def test_reconstruction_loss_equals_a_loop_over_scored_patches(batch, patches, size, seed):
    rng = np.random.default_rng(seed)
    predicted, target = rng.normal(size=(2, batch, patches, size)).astype(np.float32)
    scored = rng.random((batch, patches)) < 0.5
    errors = [
        np.mean((predicted[b, m] - target[b, m]) ** 2) for b in range(batch) for m in range(patches) if scored[b, m]
    ]
    # predictions for unscored patches must have no effect
    predicted[~scored] = 1e6
    loss = reconstruction_loss(*(torch.from_numpy(a) for a in (predicted, target, scored)))
    assert loss.item() == pytest.approx(np.mean(errors) if errors else 0.0, rel=1e-5)


def test_only_scored_patches_have_gradients():
    predicted = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scored = torch.tensor([[True, False, True], [False, False, True]])
    reconstruction_loss(predicted, torch.zeros(2, 3, 4), scored).backward()
    assert torch.equal(predicted.grad.abs().sum(dim=-1) > 0, scored)


def test_patch_target_statistics():
    patches = torch.randn(3, 5, 50, generator=torch.Generator().manual_seed(0)) * 4 + 7
    target = patch_target(patches, "patch_norm")
    assert target.mean(dim=-1).numpy() == pytest.approx(np.zeros((3, 5)), abs=1e-5)
    assert target.std(dim=-1, unbiased=False).numpy() == pytest.approx(np.ones((3, 5)), abs=1e-3)
    assert torch.equal(patch_target(patches, "plain"), patches)
    # a nearly silent patch is not scaled up: its noise must not get the weight of a beat
    noise = 0.01 * torch.randn(2000, generator=torch.Generator().manual_seed(1))
    quiet = patch_target(noise, "patch_norm").std().item()
    assert quiet == pytest.approx(0.01 / math.hypot(0.01, TARGET_FLOOR), rel=0.05)
    assert not patch_target(torch.full((50,), 3.0), "patch_norm").any()

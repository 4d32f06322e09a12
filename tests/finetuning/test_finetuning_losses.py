"""Losses over known cells compared with torch, and class weights compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from ecgssl.finetuning.losses import (
    balanced_class_weights,
    balanced_weights,
    masked_bce,
    masked_cross_entropy,
    masked_squared_error,
    objective_of,
    sampling_chances,
)
from ecgssl.training.batches import rows_at


def labels(seed: int, records: int = 12, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(records, count, generator=generator) > 0.6).float()
    y[torch.rand(records, count, generator=generator) < 0.3] = torch.nan
    return 3 * torch.randn(records, count, generator=generator), y


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_labels_as_torch(seed):
    logits, y = labels(seed)
    known = ~torch.isnan(y)
    expected = F.binary_cross_entropy_with_logits(logits[known], y[known]) if known.any() else torch.tensor(0.0)
    torch.testing.assert_close(masked_bce(logits, y), expected)
    weight = torch.rand(2, 3) + 0.5
    cells = torch.where(y == 1, weight[1], weight[0])[known]
    expected = (F.binary_cross_entropy_with_logits(logits[known], y[known], reduction="none") * cells).sum()
    torch.testing.assert_close(masked_bce(logits, y, weight), expected / known.sum().clamp_min(1))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_classes_as_torch(seed):
    generator = torch.Generator().manual_seed(seed)
    logits, code = 3 * torch.randn(9, 4, generator=generator), torch.randint(-1, 4, (9,), generator=generator)
    y = F.one_hot(code.clamp_min(0), 4).float()
    y[code < 0] = torch.nan
    if (code >= 0).any():
        expected = F.cross_entropy(logits, code, ignore_index=-1)
        torch.testing.assert_close(masked_cross_entropy(logits, y), expected)
    weight = torch.rand(4, generator=generator) + 0.5
    expected = F.cross_entropy(logits, code, weight, ignore_index=-1, reduction="sum") / (code >= 0).sum().clamp_min(1)
    torch.testing.assert_close(masked_cross_entropy(logits, y, weight), expected)


def test_numbers_are_measured_by_their_spread():
    y = torch.tensor([[50.0, 1e4], [torch.nan, 2e4], [70.0, torch.nan]])
    values = torch.tensor([[55.0, 1e4], [9.0, 1e4], [60.0, 9.0]], requires_grad=True)
    spread = torch.tensor([10.0, 5e3])
    loss = masked_squared_error(values, y, spread)
    assert loss.item() == pytest.approx((0.5**2 + 0 + 2**2 + 1**2) / 4)
    loss.backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad[1, 0] == values.grad[2, 1] == 0


def test_nothing_known_is_no_loss_and_no_gradient():
    for loss in (masked_bce, masked_cross_entropy):
        logits = torch.randn(4, 3, requires_grad=True)
        value = loss(logits, torch.full((4, 3), torch.nan))
        value.backward()
        assert value == 0
        assert (logits.grad == 0).all()


def test_balanced_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = (rng.random((50, 2)) < [0.1, 0.7]).astype(float)
    y[:5, 0] = np.nan
    for k in range(2):
        known = y[~np.isnan(y[:, k]), k]
        np.testing.assert_allclose(
            balanced_weights(y)[:, k], compute_class_weight("balanced", classes=np.arange(2), y=known)
        )
    code = rng.integers(0, 3, 50)
    one_hot = np.eye(3)[code]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=code)
    np.testing.assert_allclose(balanced_class_weights(np.vstack([one_hot, np.full((4, 3), np.nan)])), expected)


def test_balanced_sampling_draws_classes_alike_and_repeats_by_step():
    code = np.array([0] * 90 + [1] * 9 + [2])
    chances = sampling_chances(np.eye(3)[code])
    np.testing.assert_allclose([chances[code == c].sum() for c in range(3)], [1 / 3] * 3)
    rows = np.arange(100) + 7
    drawn = np.concatenate([rows_at(rows, 50, 3, step, chances) for step in range(60)]) - 7
    shares = np.bincount(code[drawn], minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)
    np.testing.assert_array_equal(rows_at(rows, 50, 3, 5, chances), rows_at(rows, 50, 3, 5, chances))
    unknown = np.array([[1.0], [0.0], [np.nan]])
    np.testing.assert_allclose(sampling_chances(unknown), [0.5, 0.5, 0])


def test_the_loss_follows_the_kind():
    y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    outputs, targets = torch.randn(4, 2), torch.from_numpy(y).float()
    multilabel = objective_of("multilabel", y, "none", torch.ones(2))
    torch.testing.assert_close(multilabel(outputs, targets), masked_bce(outputs, targets))
    classes = objective_of("multiclass", y, "balanced", torch.ones(2))
    torch.testing.assert_close(
        classes(outputs, targets), masked_cross_entropy(outputs, targets, torch.tensor([4 / 6, 2.0]))
    )
    numbers = objective_of("regression", y, "balanced", torch.full((2,), 2.0))
    torch.testing.assert_close(numbers(outputs, targets), F.mse_loss(outputs, targets) / 4)

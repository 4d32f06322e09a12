"""Correction of a ridge classifier compared with Newton's method in torch, and its choice of the ratio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecgssl.config import LinearParams
from ecgssl.evaluation.calibration.calibrators import platt_line
from ecgssl.probes import logistic_correction
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.logistic_correction import correct_ridge
from ecgssl.probes.ridge_classifier import fit_ridge_classifier

NAMES = ["a", "b", "rare"]
TRAIN, VAL = np.arange(200), np.arange(200, 300)


@pytest.fixture
def data():
    """Return features (300, 15) of any scale and targets (300, 3) with unknown values; the last target is rare."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(300, 15))
    y = (z[:, :3] + rng.normal(size=(300, 3)) > [0, 0.5, 1.8]).astype(float)
    y[::7, :2] = np.nan
    return (z * rng.uniform(0.1, 10, 15) + rng.normal(size=15)).astype(np.float32), y


def iter_of(scores):
    """Return a function that returns these values one after the other."""
    left = iter(scores)
    return lambda *_: next(left)


def newton(z, y, origin, penalty):
    """Return the coefficients and the intercept that minimise the objective for one target, in float64 by Newton's method."""
    z, y = torch.tensor(np.column_stack([z, np.ones(len(z))])), torch.tensor(y)
    start = torch.tensor([*origin, 0.0])
    keep = torch.tensor([1.0] * len(origin) + [0.0])

    def loss(w):
        terms = torch.nn.functional.binary_cross_entropy_with_logits(z @ w, y, reduction="sum")
        return terms + penalty / 2 * (keep * (w - start) ** 2).sum()

    w = start.clone()
    for _ in range(50):
        gradient = torch.func.grad(loss)(w)
        w = w - torch.linalg.solve(torch.func.hessian(loss)(w), gradient)
    assert gradient.abs().max() < 1e-9
    return w[:-1].numpy(), float(w[-1])


@pytest.mark.parametrize("ratio", [0.05, 2.0])
def test_the_solution_is_that_of_newtons_method(data, ratio, monkeypatch):
    x, y = data
    monkeypatch.setattr(logistic_correction, "_BLOCK", 64)
    monkeypatch.setattr(logistic_correction, "TOLERANCE", 1e-12)
    monkeypatch.setattr(logistic_correction, "STEPS", 200)
    monkeypatch.setattr(logistic_correction, "macro_auroc", iter_of([0.5, 0.6]))  # the correction is accepted
    probe = fit_ridge_classifier(x, y, TRAIN, VAL, names=NAMES)
    found = correct_ridge(probe, x, y, TRAIN, VAL, [ratio])
    assert found.correction == ratio
    z = (x[TRAIN] - probe.mean) / probe.scale
    for k in range(3):
        known = ~np.isnan(y[TRAIN, k])
        slope, _ = platt_line(probe.logits(x[TRAIN][known])[:, k], y[TRAIN, k][known])
        weight, bias = newton(z[known], y[TRAIN, k][known], slope * probe.weight[k], ratio / probe.C[k])
        np.testing.assert_allclose(found.weight[k], weight, atol=2e-4)
        assert found.bias[k] == pytest.approx(bias, abs=2e-4)


def test_the_path_ends_at_the_first_ratio_that_validation_does_not_prefer(data, monkeypatch):
    """Scores of the ridge solution and of the ratios in descending order: the last one would be chosen, but is not tried."""
    x, y = data
    ridge = fit_ridge_classifier(x, y, TRAIN, VAL, names=NAMES)
    scores = iter([0.5, 0.6, 0.7, 0.65, 0.8])
    monkeypatch.setattr(logistic_correction, "macro_auroc", lambda *_: next(scores))
    found = correct_ridge(ridge, x, y, TRAIN, VAL, [0.1, 100.0, 1.0, 10.0])
    assert (found.correction, list(scores)) == (10.0, [0.8])


def test_the_default_steps_come_close_to_the_minimum(data, monkeypatch):
    """With few features the limit of steps hardly matters."""
    x, y = data
    ridge = fit_ridge_classifier(x, y, TRAIN, VAL, names=NAMES)
    monkeypatch.setattr(logistic_correction, "macro_auroc", iter_of([0.5, 0.6, 0.5, 0.6, 0.5]))
    default = correct_ridge(ridge, x, y, TRAIN, VAL, [0.05])
    monkeypatch.setattr(logistic_correction, "STEPS", 500)
    monkeypatch.setattr(logistic_correction, "TOLERANCE", 1e-13)
    minimum = correct_ridge(ridge, x, y, TRAIN, VAL, [0.05])
    start = correct_ridge(ridge, x, y, TRAIN, VAL[:0], [])
    assert np.abs(default.weight - minimum.weight).max() < 0.05 * np.abs(start.weight - minimum.weight).max()


def test_the_ridge_classifier_is_kept_without_a_better_score(data, monkeypatch):
    """Its outputs are then only mapped to logits, so the order of the recordings is the same."""
    x, y = data
    ridge = fit_ridge_classifier(x, y, TRAIN, VAL, names=NAMES)
    # without validation recordings, nothing is minimised
    with monkeypatch.context() as patched:
        patched.setattr(logistic_correction, "_minimise", None)
        correct_ridge(ridge, x, y, TRAIN, VAL[:0], [1.0])
    alone = [correct_ridge(ridge, x, y, TRAIN, VAL[:0], [1.0]), correct_ridge(ridge, x, y, TRAIN, VAL, [])]
    monkeypatch.setattr(logistic_correction, "macro_auroc", iter_of([0.6, 0.6]))
    alone.append(correct_ridge(ridge, x, y, TRAIN, VAL, [1.0]))
    for kept in alone:
        assert kept.correction is None
        for k in range(3):
            np.testing.assert_array_equal(np.argsort(kept.logits(x)[:, k]), np.argsort(ridge.logits(x)[:, k]))


def test_many_features_gain_and_the_probe_states_the_ratio():
    """Rare targets with 600 features: the correction is chosen, and the outputs for other recordings are better."""
    rng = np.random.default_rng(0)
    x, direction = rng.normal(size=(3000, 600)).astype(np.float32), rng.normal(size=(600, 3)) / np.sqrt(600)
    y = (4 * x @ direction + rng.logistic(size=(3000, 3)) > 8).astype(float)
    train, val, test = np.split(np.arange(3000), [1500, 2000])
    results = {}
    for ratios in (LinearParams().corrections, [10.0, 3.0, 1.0, 0.3, 0.1, 0.03]):
        params = LinearParams(solver="ridge", corrections=ratios)
        fit = probe_for("multilabel", params, x.shape)
        probe = fit(x[train], y[train], x[val], y[val], params, names=NAMES, groups=train)
        results[len(ratios) > 0] = probe, roc_auc_score(y[test], probe.logits(x[test]))
    assert results[False][0].correction is None
    assert results[True][0].correction is not None
    assert results[True][1] > results[False][1] + 0.002

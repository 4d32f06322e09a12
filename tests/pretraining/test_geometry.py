"""Alignment, uniformity and effective rank compared with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from ecgssl.pretraining.diagnostics.geometry import alignment, effective_rank, uniformity


def test_alignment_closed_forms() -> None:
    x = np.random.default_rng(0).normal(size=(50, 8))
    assert alignment(x, 3 * x) == pytest.approx(0)
    assert alignment(x, -x) == pytest.approx(4)
    assert alignment(np.eye(4), np.roll(np.eye(4), 1, axis=0)) == pytest.approx(2)
    assert alignment(x, -x, alpha=1) == pytest.approx(2)


def test_uniformity_closed_forms_and_slow_reference() -> None:
    assert uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-12)
    assert uniformity(np.eye(6)) == pytest.approx(-4)
    assert uniformity(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-8)
    x = np.random.default_rng(0).normal(size=(1500, 5))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * pdist(unit, "sqeuclidean")).mean()), rel=1e-10)


def test_effective_rank_closed_forms() -> None:
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(30, 6)))[0]
    assert effective_rank(q, centre=False) == pytest.approx(6)
    assert effective_rank(q[:, :1] @ rng.normal(size=(1, 9)), centre=False) == pytest.approx(1)
    share = np.array([0.5, 0.25, 0.25])
    expected = np.exp(-(share * np.log(share)).sum())
    assert effective_rank(q[:, :3] * share * 8, centre=False) == pytest.approx(expected)
    x = rng.normal(size=(100, 4))
    assert effective_rank(x + 100) == pytest.approx(effective_rank(x))
    assert effective_rank(7 * x) == pytest.approx(effective_rank(x))
    assert effective_rank(np.full((10, 3), 0.1)) == 0


def test_bad_embeddings_are_refused() -> None:
    with pytest.raises(ValueError, match="no direction"):
        alignment(np.zeros((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="finite"):
        effective_rank(np.array([[np.nan, 1]]))
    with pytest.raises(ValueError, match="at least two"):
        uniformity(np.ones((1, 3)))
    with pytest.raises(ValueError, match="equal shapes"):
        alignment(np.ones((2, 2)), np.ones((3, 2)))

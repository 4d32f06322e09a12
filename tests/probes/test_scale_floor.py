"""Lower limit of the scale of a feature, in all linear probes."""

from __future__ import annotations

import numpy as np
import pytest

from ecgssl.config import LinearParams
from ecgssl.probes.by_kind import probe_for


@pytest.mark.parametrize(
    ("kind", "solver"),
    [("multilabel", "logistic"), ("multilabel", "ridge"), ("multiclass", "logistic"), ("regression", "logistic")],
)
def test_a_feature_that_hardly_varies_does_not_dominate(kind, solver):
    """Feature 0 varies by a millionth in the cohort and by 1 in a recording unlike the cohort."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    x[:, 0] = 1e-6 * x[:, 0]
    positive = (x[:, 1] + 1e6 * x[:, 0] > 0).astype(float)
    y = np.stack([positive, 1 - positive], axis=1) if kind == "multiclass" else positive[:, None]
    names = ["a", "b"] if kind == "multiclass" else ["a"]
    unlike = np.eye(1, 8)
    sizes = {}
    for floor in (0.0, 0.01):
        params = LinearParams(C=[1.0], class_weight=["none"], solver=solver, scale_floor=floor)
        fit = probe_for(kind, params, x.shape)
        probe = fit(x[:40], y[:40], x[40:], y[40:], params, names=names, groups=np.arange(40))
        sizes[floor] = np.abs(probe.logits(unlike)).max()
        spread = x[:40].std(axis=0)
        # 0.01 of the median over the eight features, of which feature 0 alone is below it
        assert probe.scale == pytest.approx(
            np.where(np.arange(8) == 0, max(spread[0], floor * np.median(spread)), spread)
        )
    assert sizes[0.0] > 1e4
    assert sizes[0.01] < 100

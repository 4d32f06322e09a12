"""Ridge classifier for many targets compared with scikit-learn, its choice of the strength, and its outputs as logits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from ecgssl.config import LinearParams
from ecgssl.errors import InputError
from ecgssl.probes import ridge_classifier
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.ridge import fit_ridge_probe
from ecgssl.probes.ridge_classifier import fit_ridge_classifier

NAMES = ["a", "b", "c"]


@pytest.fixture(params=[12, 150], ids=["primal", "dual"])
def data(request):
    """Return features (150, E) with any offset and scale, one of them constant, and targets with unknown values."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, request.param)) * rng.uniform(0.1, 10, request.param) + 5 * rng.normal(size=request.param)
    y = (x[:, [0, 1, 2]] - x[:, [0, 1, 2]].mean(0) + x[:, [0, 1, 2]].std(0) * rng.normal(size=(150, 3)) > 0).astype(
        float
    )
    x[:, 3] = 7
    y[::7, :2] = np.nan
    y[::9, 2] = np.nan
    return x.astype(np.float32), y, np.arange(0, 100), np.arange(100, 150)


def expected(x, y, train, strength):
    """Return the outputs of scikit-learn for all recordings; features are standardised on all training recordings."""
    spread = np.where(np.ptp(x[train], axis=0) > 0, x[train].std(0, dtype=float), 1)
    z = (x - x[train].mean(0, dtype=float)) / spread
    out = np.empty_like(y)
    for k in range(y.shape[1]):
        known = train[~np.isnan(y[train, k])]
        out[:, k] = Ridge(alpha=strength * x.shape[1], solver="svd").fit(z[known], y[known, k]).predict(z)
    return out


@pytest.mark.parametrize("strength", [0.1, 30.0])
def test_outputs_are_those_of_scikit_learn(data, strength, monkeypatch):
    x, y, train, val = data
    monkeypatch.setattr(ridge_classifier, "_BLOCK", 16)
    probe = fit_ridge_classifier(x, y, train, val, names=NAMES, strengths=[strength])
    np.testing.assert_allclose(probe.logits(x), expected(x, y, train, strength), rtol=1e-4, atol=1e-5)
    assert pytest.approx((1 / (strength * x.shape[1]),) * 3) == probe.C
    assert set(probe.chosen_by) == {"only_candidate"}


def test_one_strength_is_chosen_for_all_targets(data):
    x, y, train, val = data
    strengths = [0.01, 1.0, 100.0]

    def macro(outputs):
        known = [val[~np.isnan(y[val, k])] for k in range(3)]
        return np.mean([roc_auc_score(y[rows, k], outputs[rows, k]) for k, rows in enumerate(known)])

    reached = {s: macro(expected(x, y, train, s)) for s in strengths}
    probe = fit_ridge_classifier(x, y, train, val, names=NAMES, strengths=strengths)
    assert pytest.approx((1 / (max(reached, key=reached.get) * x.shape[1]),) * 3) == probe.C
    assert set(probe.chosen_by) == {"validation_auroc"}
    alone = fit_ridge_classifier(x, y, train, val[:0], names=NAMES, strengths=strengths)
    assert pytest.approx((1 / (100 * x.shape[1]),) * 3) == alone.C
    assert set(alone.chosen_by) == {"strongest_regularisation"}


def test_all_problems_are_listed(data):
    x, y, train, val = data
    x[3, 0], x[120, 1] = np.nan, np.inf
    y[train, 0], y[5, 1] = 1, 2
    with pytest.raises(InputError) as caught:
        fit_ridge_classifier(x, y, train, val, names=NAMES)
    text = str(caught.value)
    assert "train embeddings: values: 1 rows are not finite" in text
    assert "val embeddings: values: 1 rows are not finite" in text
    assert "train targets: b: has values other than 0 and 1" in text
    assert "train targets: a: has 100 positive and 0 negative recordings" in text
    with pytest.raises(ValueError, match="must be positive"):
        fit_ridge_classifier(x, y, train, val, names=NAMES, strengths=[0.0])


def test_logits_are_a_logistic_regression_of_the_outputs_on_validation(data):
    """The line of target c is fitted on the training recordings, because it has too few known values in validation."""
    x, y, train, val = data
    y[val[5:], 2] = np.nan
    fit = probe_for("multilabel", LinearParams(solver="ridge"), x.shape)
    probe = fit(x[train], y[train], x[val], y[val], LinearParams(solver="ridge"), names=NAMES, groups=train)
    outputs = fit_ridge_classifier(x, y, train, val, names=NAMES).logits(x)
    for k, rows in enumerate([val, val, train]):
        known = rows[~np.isnan(y[rows, k])]
        # each recording counts as positive and as negative, with the weights of Platt's smoothed target
        positive, count = y[known, k].sum(), len(known)
        soft = np.where(y[known, k] == 1, (positive + 1) / (positive + 2), 1 / (count - positive + 2))
        both = np.tile(outputs[known, k], 2)[:, None]
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
            both, np.repeat([1, 0], count), np.concatenate([soft, 1 - soft])
        )
        np.testing.assert_allclose(probe.logits(x)[:, k], fitted.decision_function(outputs[:, [k]]), atol=1e-3)


def test_auto_is_ridge_for_many_recordings_and_features():
    def chosen(solver: str, *shape: int) -> str:
        return probe_for("multilabel", LinearParams(solver=solver), shape).__name__

    assert chosen("auto", 17_000, 4_092) == "fit_ridge_logits"
    assert {chosen("auto", 17_000, 2_000), chosen("auto", 2_000, 4_092)} == {"fit_probe"}
    assert {chosen("ridge", 10, 10), chosen("logistic", 17_000, 4_092)} == {"fit_ridge_logits", "fit_probe"}
    assert probe_for("regression", LinearParams(solver="ridge"), (17_000, 4_092)) is fit_ridge_probe

"""Multiclass and ridge probes compared with scikit-learn, and their selection rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

from ecgssl.config import LinearParams
from ecgssl.errors import InputError
from ecgssl.probes.logistic_solver import principal_axes
from ecgssl.probes.multiclass import fit_class_probe
from ecgssl.probes.ridge import fit_ridge_probe
from ecgssl.probes.selection import macro_class_auroc, mean_r2
from ecgssl.probes.softmax_solver import solve_multinomial


def features(records: int, width: int, seed: int = 0) -> np.ndarray:
    """Return correlated features with a steep spectrum, as embeddings have, with any offset and scale."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(width, width)))[0]
    x = (rng.normal(size=(records, width)) * np.exp(-np.arange(width) / 8)) @ mixing
    return x * rng.uniform(0.1, 10, width) + rng.normal(size=width)


def classes(records: int, width: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and one-hot classes, some of them unknown."""
    rng = np.random.default_rng(seed)
    x = features(records, width, seed)
    z = (x - x.mean(0)) / x.std(0)
    logits = 3 * z @ rng.normal(size=(width, count)) / np.sqrt(width) - np.linspace(0, 1.5, count)
    y = np.eye(count)[[rng.choice(count, p=p) for p in softmax(logits, axis=1)]]
    y[rng.random(records) < 0.1] = np.nan
    return x, y


def sklearn_probabilities(x, y, C, class_weight):
    z, known = (x - x.mean(0)) / x.std(0), ~np.isnan(y[:, 0])
    weight = None if class_weight == "none" else "balanced"
    model = LogisticRegression(C=C, class_weight=weight, tol=1e-10, max_iter=100_000)
    model.fit(z[known], y[known].argmax(1))
    return model.predict_proba(z)


@pytest.mark.parametrize(("records", "width"), [(300, 12), (40, 80)])
@pytest.mark.parametrize(("C", "class_weight"), [(0.001, "none"), (0.1, "balanced"), (10.0, "none")])
def test_classes_as_scikit_learn(records, width, C, class_weight):
    x, y = classes(records, width, 3)
    params = LinearParams(C=[C], class_weight=[class_weight])
    probe = fit_class_probe(x, y, x, y, params, names=["a", "b", "c"], groups=np.arange(records))
    ours = softmax(probe.logits(x), axis=1)
    np.testing.assert_allclose(ours, sklearn_probabilities(x, y, C, class_weight), atol=2e-5)
    assert abs(probe.bias.sum()) < 1e-8
    assert (probe.kind, set(probe.chosen_by)) == ("multiclass", {"only_candidate"})


def test_two_classes_are_one_logistic_regression():
    """The two-class softmax with penalty |u1|^2 + |u2|^2 has u1 = -u2: a logistic regression with half the penalty."""
    x, y = classes(200, 6, 2)
    known = ~np.isnan(y[:, 0])
    basis = principal_axes((x[known] - x[known].mean(0)) / x[known].std(0))
    u, b = solve_multinomial(basis, y[known], np.ones(known.sum()), 1.0)
    np.testing.assert_allclose(u[:, 0], -u[:, 1], atol=1e-6)
    alone = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000).fit(basis.scores, y[known, 1])
    np.testing.assert_allclose(u[:, 1] - u[:, 0], alone.coef_[0], atol=2e-5)
    assert b[1] - b[0] == pytest.approx(alone.intercept_[0], abs=2e-5)


def test_validation_chooses_or_folds_of_train_do():
    x, y = classes(500, 20, 3)
    x, y, vx, vy = x[:300], y[:300], x[300:], y[300:]
    params = LinearParams(C=[1e-4, 1e-2, 1.0])
    given_val = fit_class_probe(x, y, vx, vy, params, names=["a", "b", "c"], groups=np.arange(300))
    assert set(given_val.chosen_by) == {"validation_auroc"}
    known = ~np.isnan(vy[:, 0])

    def score(C, weight):
        one = LinearParams(C=[C], class_weight=[weight])
        probe = fit_class_probe(x, y, vx, vy, one, names=["a", "b", "c"], groups=np.arange(300))
        p = softmax(probe.logits(vx[known]), axis=1)
        return roc_auc_score(vy[known].argmax(1), p, multi_class="ovr", average="macro")

    best = max(score(C, weight) for C in params.C for weight in params.class_weight)
    assert score(given_val.C[0], given_val.class_weight[0]) == pytest.approx(best, abs=1e-9)
    p = softmax(given_val.logits(vx[known]), axis=1)
    assert macro_class_auroc(vy[known], given_val.logits(vx[known])) == pytest.approx(
        roc_auc_score(vy[known].argmax(1), p, multi_class="ovr", average="macro")
    )
    few = fit_class_probe(x, y, vx[:9], vy[:9], params, names=["a", "b", "c"], groups=np.arange(300) // 3)
    assert set(few.chosen_by) == {"cross_validation_log_loss"}
    alone = fit_class_probe(x, y, vx[:0], vy[:0], params, names=["a", "b", "c"], groups=y.argmax(1))
    assert set(alone.chosen_by) == {"strongest_regularisation"}
    assert alone.C[0] == 1e-4


def test_an_absent_class_is_named():
    x, y = classes(50, 3, 3)
    y[y[:, 1] == 1] = [1, 0, 0]
    with pytest.raises(InputError, match="b: has recordings of 0 patients"):
        fit_class_probe(x, y, x, y, LinearParams(), names=["a", "b", "c"], groups=np.arange(50))


@given(
    records=st.integers(10, 60),
    width=st.integers(1, 70),
    C=st.sampled_from([1e-3, 0.1, 1.0, 10.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_numbers_as_scikit_learn(records, width, C, seed):
    rng = np.random.default_rng(seed)
    x = features(records, width, seed)
    y = np.column_stack([50 + 9 * rng.normal(size=records) + x[:, 0], 1000 * rng.normal(size=records)])
    y[rng.random(y.shape) < 0.2] = np.nan
    y[:2] = [[30, -5.0], [60, 8.0]]
    probe = fit_ridge_probe(x, y, x, y, LinearParams(C=[C]), names=["age", "other"], groups=np.arange(records))
    z = (x - x.mean(0)) / x.std(0)
    for k in range(2):
        known = ~np.isnan(y[:, k])
        expected = Ridge(alpha=1 / C, solver="svd").fit(z[known], y[known, k]).predict(z)
        np.testing.assert_allclose(probe.logits(x)[:, k], expected, rtol=1e-6, atol=1e-6 * np.nanstd(y[:, k]))


def test_the_penalty_of_numbers_is_chosen_by_validation_or_by_folds():
    rng = np.random.default_rng(0)
    x = features(200, 30)
    z = (x - x.mean(0)) / x.std(0)
    y = (55 + 4 * z[:, :3].sum(1) + 6 * rng.normal(size=200))[:, None]
    train, val = slice(0, 120), slice(120, 200)
    params = LinearParams(C=[1e-4, 1e-2, 1.0, 100.0])
    probe = fit_ridge_probe(x[train], y[train], x[val], y[val], params, names=["age"], groups=np.arange(120))
    scores = {}
    for C in params.C:
        one = fit_ridge_probe(
            x[train], y[train], x[val], y[val], LinearParams(C=[C]), names=["age"], groups=np.arange(120)
        )
        scores[C] = r2_score(y[val], one.logits(x[val]))
    assert probe.C[0] == max(scores, key=scores.get)
    assert probe.chosen_by == ("validation_r2",)
    assert mean_r2(y[val], probe.logits(x[val])) == pytest.approx(max(scores.values()))
    assert probe.logits(x[val]).mean() == pytest.approx(55, abs=3), "predictions are in the unit of the target"
    alone = fit_ridge_probe(x[train], y[train], x[:5], y[:5], params, names=["age"], groups=np.arange(120) // 2)
    assert alone.chosen_by == ("cross_validation_squared_error",)
    assert alone.C[0] < 100


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(20, 7.0), "age: is 7 in all 20 known recordings"),
        (np.full(20, np.nan), "age: has no known value"),
        (np.r_[np.inf, np.arange(19.0)], "age: has infinite"),
    ],
)
def test_numbers_that_cannot_be_learned(y, message):
    x = features(20, 3)
    with pytest.raises(InputError, match=message):
        fit_ridge_probe(x, y[:, None], x, y[:, None], LinearParams(), names=["age"], groups=np.arange(20))


def test_embeddings_that_are_not_finite():
    x, y = classes(50, 3, 3)
    x[4, 1] = np.nan
    for fit, targets in ((fit_class_probe, y), (fit_ridge_probe, y * 40)):
        with pytest.raises(InputError, match="1 rows are not finite"):
            fit(x, targets, x[:0], targets[:0], LinearParams(), names=["a", "b", "c"], groups=np.arange(50))


def test_r2_of_targets_without_spread_is_left_out():
    y = np.array([[1.0, 3.0], [2.0, 3.0], [np.nan, 3.0]])
    assert mean_r2(y, np.array([[1.0, 9.0], [2.0, 9.0], [7.0, 9.0]])) == 1
    assert np.isnan(mean_r2(y[:, 1:], y[:, 1:]))

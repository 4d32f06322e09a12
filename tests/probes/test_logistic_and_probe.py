"""Linear probe compared with scikit-learn, and its selection rules."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgssl.config import LinearParams
from ecgssl.errors import InputError
from ecgssl.probes.binary import fit_probe
from ecgssl.probes.logistic_solver import principal_axes, solve


def problem(records: int, width: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return correlated features with a steep spectrum, as embeddings have, and targets, some of them unknown."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(width, width)))[0]
    x = (rng.normal(size=(records, width)) * np.exp(-np.arange(width) / 8)) @ mixing
    logits = 12 * x @ rng.normal(size=(width, labels)) / np.sqrt(width) - np.linspace(0, 2, labels)
    y = (rng.random((records, labels)) < 1 / (1 + np.exp(-logits))).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    return x * rng.uniform(0.1, 10, width) + rng.normal(size=width), y


def sklearn_fit(x: np.ndarray, y: np.ndarray, C: float, class_weight: str) -> tuple[np.ndarray, float]:
    x = (x - x.mean(0)) / x.std(0)
    known = ~np.isnan(y)
    balanced = "balanced" if class_weight == "balanced" else None
    model = LogisticRegression(C=C, class_weight=balanced, solver="lbfgs", tol=1e-8, max_iter=100_000)
    model.fit(x[known], y[known])
    return model.coef_[0], model.intercept_[0]


@pytest.mark.parametrize(
    ("C", "class_weight"), [(0.001, "none"), (0.1, "balanced"), (10.0, "none"), (10.0, "balanced")]
)
def test_coefficients_equal_those_of_scikit_learn(C: float, class_weight: str) -> None:
    x, y = problem(600, 24, 3)
    params = LinearParams(C=[C], class_weight=[class_weight])
    probe = fit_probe(x, y, x[:0], y[:0], params, names=list("abc"), groups=np.arange(600))
    assert probe.chosen_by == ("only_candidate",) * 3
    for k in range(3):
        weight, bias = sklearn_fit(x, y[:, k], C, class_weight)
        np.testing.assert_allclose(probe.weight[k], weight, atol=1e-4)
        assert probe.bias[k] == pytest.approx(bias, abs=1e-4)


def test_more_features_than_records_and_dependent_features_and_constant_ones() -> None:
    x, y = problem(60, 40, 1)
    x = np.hstack([x, x[:, :30] * 2 + 1, np.full((60, 1), 3.0)])
    params = LinearParams(C=[1.0], class_weight=["none"])
    probe = fit_probe(x, y, x[:0], y[:0], params, names=["a"], groups=np.arange(60))
    varying = x[:, :-1]
    weight, bias = sklearn_fit(varying, y[:, 0], 1.0, "none")
    np.testing.assert_allclose(probe.weight[0, :-1], weight, atol=1e-4)
    assert probe.weight[0, -1] == pytest.approx(0, abs=1e-12)
    assert probe.scale[-1] == 1
    assert probe.bias[0] == pytest.approx(bias, abs=1e-4)


def test_separable_labels_have_a_finite_solution() -> None:
    x = np.linspace(-1, 1, 200)[:, None]
    y = (x > 0.3).astype(float)
    basis = principal_axes(x)
    u, b = solve(basis, y, np.ones_like(y), penalty=1e-6)
    assert np.isfinite(u).all()
    assert np.isfinite(b).all()
    margin = basis.scores @ u + b
    slope = basis.scores.T @ (expit(margin) - y) + 1e-6 * u
    assert np.abs(slope).max() < 1e-6


def test_a_warm_start_ends_where_a_cold_one_does() -> None:
    x, y = problem(300, 12, 2)
    basis, w = principal_axes((x - x.mean(0)) / x.std(0)), (~np.isnan(y)).astype(float)
    known = np.nan_to_num(y)
    warm = solve(basis, known, w, 0.1, solve(basis, known, w, 1000.0))
    cold = solve(basis, known, w, 0.1)
    np.testing.assert_allclose(warm[0], cold[0], atol=2e-5)
    np.testing.assert_allclose(warm[1], cold[1], atol=2e-5)


def test_validation_auroc_chooses_as_a_plain_loop_does() -> None:
    x, y = problem(900, 30, 2, seed=3)
    params = LinearParams(C=[0.01, 1.0, 0.0001], class_weight=["balanced", "none"])
    train, val = slice(0, 300), slice(300, 900)
    probe = fit_probe(x[train], y[train], x[val], y[val], params, names=["a", "b"], groups=np.arange(300))
    assert probe.chosen_by == ("validation_auroc",) * 2
    mean, scale = x[train].mean(0), x[train].std(0)
    for k in range(2):
        known, found = ~np.isnan(y[val][:, k]), {}
        for C in (0.0001, 0.01, 1.0):
            for cw in ("none", "balanced"):
                weight, bias = sklearn_fit(x[train], y[train][:, k], C, cw)
                scores = ((x[val] - mean) / scale) @ weight + bias
                found[C, cw] = roc_auc_score(y[val][known, k], scores[known])
        assert found[probe.C[k], probe.class_weight[k]] == pytest.approx(max(found.values()), abs=1e-5)


def test_without_enough_validation_positives_patient_grouped_cross_validation_chooses() -> None:
    """With ten copies of every record, only folds by patient show that weak regularisation overfits."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(60, 40)), 10, axis=0)
    y = np.repeat((rng.random((60, 1)) < 0.5).astype(float), 10, axis=0)
    params = LinearParams(C=[1e-5, 100.0], class_weight=["none"])
    arguments = (x, y, x[:3], y[:3], params)
    together = fit_probe(*arguments, names=["a"], groups=np.repeat(np.arange(60), 10))
    assert together.chosen_by == ("cross_validation_log_loss",)
    assert together.C == (1e-5,)
    apart = fit_probe(*arguments, names=["a"], groups=np.arange(600))
    assert apart.C == (100.0,)


def test_a_single_positive_patient_takes_the_strongest_regularisation() -> None:
    x, _ = problem(50, 5, 1)
    y = np.zeros((50, 1))
    y[:2] = 1
    groups = np.r_[0, 0, 1 : 50 - 1]
    probe = fit_probe(x, y, x[:0], y[:0], LinearParams(), names=["rare"], groups=groups)
    assert probe.chosen_by == ("strongest_regularisation",)
    assert (probe.C, probe.class_weight) == ((LinearParams().C[0],), ("none",))


def test_all_bad_inputs_are_named_at_once() -> None:
    x, y = problem(40, 4, 3)
    y[:, 1] = np.where(np.isnan(y[:, 1]), np.nan, 0)
    y[0, 2] = 2
    x[7, 0] = np.inf
    with pytest.raises(InputError) as error:
        fit_probe(x, y, x[:0], y[:0], LinearParams(), names=["fine", "one_class", "odd"], groups=np.arange(40))
    fields = {p.field for p in error.value.problems}
    assert fields == {"values", "one_class", "odd"}
    assert "1 rows are not finite" in str(error.value)


def test_a_label_without_a_known_target_is_named() -> None:
    x, y = problem(40, 4, 1)
    with pytest.raises(InputError, match="empty: has no known value"):
        fit_probe(x, y * np.nan, x[:0], y[:0], LinearParams(), names=["empty"], groups=np.arange(40))


def test_many_labels_are_fitted_as_one_alone_is() -> None:
    x, y = problem(200, 6, 1)
    many = np.repeat(y, 70, axis=1)
    params = LinearParams(C=[0.1, 1.0])
    alone = fit_probe(x, y, x, y, params, names=["a"], groups=np.arange(200))
    all_of_them = fit_probe(x, many, x, many, params, names=[f"l{k}" for k in range(70)], groups=np.arange(200))
    np.testing.assert_allclose(all_of_them.weight, np.repeat(alone.weight, 70, axis=0), atol=1e-5)


def test_a_collapsed_encoder_leaves_the_prevalence() -> None:
    y = np.r_[np.ones(10), np.zeros(30)][:, None]
    x = np.full((40, 5), 0.7)
    probe = fit_probe(
        x, y, x[:0], y[:0], LinearParams(C=[1.0], class_weight=["none"]), names=["a"], groups=np.arange(40)
    )
    np.testing.assert_allclose(probe.weight, 0, atol=1e-12)
    np.testing.assert_allclose(expit(probe.logits(x)), 0.25)

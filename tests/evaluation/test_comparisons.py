"""DeLong's method, permutation test, calibration lines, decision curves and ratios, compared with slow definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_auc_score

from ecgssl.evaluation.calibration.reliability import calibration_line
from ecgssl.evaluation.calibration.thresholds import RATES, RISKS, describe_point, net_benefit, rate_columns, treat_all
from ecgssl.evaluation.statistics.bootstrap import patient_weights, ratios
from ecgssl.evaluation.statistics.delong import delong, delong_difference
from ecgssl.evaluation.statistics.permutation import permutation_test


def scored(count: int = 120, seed: int = 0, digits: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < 0.4).astype(float)
    return y, np.round(y[:, None] * [1.0, 0.6] + rng.normal(size=(count, 2)), digits)


def slow_delong(y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimate by the definition of 1988, over all pairs of a positive and a negative recording."""
    sick, well = s[y == 1], s[y == 0]
    psi = (sick[:, None] > well[None]) + 0.5 * (sick[:, None] == well[None])
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    return psi.mean(axis=(0, 1)), np.cov(v10.T) / len(sick) + np.cov(v01.T) / len(well)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(0, 2))
def test_fast_delong_is_slow_delong(seed: int, digits: int) -> None:
    y, s = scored(60, seed, digits)
    found, expected = delong(y, s), slow_delong(y, s)
    np.testing.assert_allclose(found.auroc, expected[0], atol=1e-12)
    np.testing.assert_allclose(found.covariance, expected[1], atol=1e-12)
    np.testing.assert_allclose(found.auroc, [roc_auc_score(y, s[:, k]) for k in (0, 1)], atol=1e-12)
    difference = delong_difference(y, s[:, 0], s[:, 1])
    variance = expected[1][0, 0] + expected[1][1, 1] - 2 * expected[1][0, 1]
    assert difference.p == pytest.approx(2 * norm.sf(abs(difference.difference) / np.sqrt(variance)))


def test_delong_gives_the_published_standard_error_of_hanley_and_mcneils_ratings() -> None:
    # Radiology 1982;143:29-36, table I; standard error and interval from the Stata manual (roctab)
    y = np.repeat([0.0, 1.0], [58, 51])
    ratings = np.r_[np.repeat(np.arange(1, 6), [33, 6, 6, 11, 2]), np.repeat(np.arange(1, 6), [3, 2, 2, 11, 33])]
    found = delong(y, ratings[:, None].astype(float))
    assert found.auroc[0] == pytest.approx(0.8932, abs=5e-5)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(0.0307, abs=5e-5)
    assert found.interval() == pytest.approx((0.83295, 0.95339), abs=5e-5)


def test_patients_with_several_recordings_widen_delongs_interval_as_the_bootstrap_does() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(150), 4)
    y = np.repeat((rng.random(150) < 0.4).astype(float), 4)
    s = y + np.repeat(rng.normal(size=150), 4) + 0.2 * rng.normal(size=600)
    alone, together = delong(y, s[:, None]), delong(y, s[:, None], patients)
    areas = []
    for block in patient_weights(patients, 400, 0):
        for weight in block:
            areas.append(roc_auc_score(y, s, sample_weight=weight))
    spread = np.std(areas)
    assert np.sqrt(together.covariance[0, 0]) == pytest.approx(spread, rel=0.1)
    assert np.sqrt(alone.covariance[0, 0]) < 0.65 * spread
    np.testing.assert_array_equal(delong(y, s[:, None], np.arange(600)).covariance, alone.covariance)
    copies = delong(np.tile(y, 2), np.tile(s, 2)[:, None], np.tile(patients, 2))
    np.testing.assert_allclose(copies.covariance, together.covariance)


def test_what_delong_cannot_say_is_nan_or_refused() -> None:
    y, s = scored()
    with pytest.raises(ValueError, match="both classes"):
        delong(np.zeros(120), s)
    one = np.where(np.cumsum(y) <= 1, y, 0.0)
    assert np.isnan(delong(one, s).covariance).all()
    assert np.isnan(delong_difference(one, s[:, 0], s[:, 1]).p)
    same = delong_difference(y, s[:, 0], 3 * s[:, 0])
    assert (same.difference, same.p) == (0.0, 1.0)
    gaps = y.copy()
    gaps[:30] = np.nan
    np.testing.assert_array_equal(delong(gaps, s).auroc, delong(y[30:], s[30:]).auroc)


def test_the_permutation_test_is_a_loop_over_all_exchanges_of_few_patients() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(8), 3)
    y = np.tile([1.0, 0.0, 1.0, 0.0], 6)
    a, b = y + 0.5 * rng.normal(size=24), y + 2 * rng.normal(size=24)
    ranks = [np.argsort(np.argsort(v)).astype(float) for v in (a, b)]
    observed = roc_auc_score(y, a) - roc_auc_score(y, b)
    extreme = 0
    for pattern in range(256):
        turn = (pattern >> patients & 1).astype(bool)
        first, second = np.where(turn, ranks[1], ranks[0]), np.where(turn, ranks[0], ranks[1])
        extreme += abs(roc_auc_score(y, first) - roc_auc_score(y, second)) >= abs(observed) - 1e-12
    found = permutation_test(y[:, None], a[:, None], b[:, None], patients, 4000, 0)
    assert found == pytest.approx(extreme / 256, abs=0.03)


def test_the_permutation_test_rejects_alike_models_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for trial in range(150):
        y = (rng.random((60, 1)) < 0.5).astype(float)
        a, b = y + rng.normal(size=y.shape), y + rng.normal(size=y.shape)
        rejected += permutation_test(y, a, 10 * b - 3, np.arange(60), 99, trial) <= 0.1
    assert 4 <= rejected <= 26  # 15 expected, plus three standard deviations
    y = np.tile([[1.0], [0.0]], (30, 1))
    assert permutation_test(y, y, -y, np.arange(60), 199, 0) == pytest.approx(1 / 200)
    assert permutation_test(y, y, y, np.arange(60), 199, 0) == 1.0
    assert np.isnan(permutation_test(np.ones((60, 1)), y, -y, np.arange(60), 99, 0))


def test_a_calibration_line_is_a_logistic_regression_and_its_interval_covers() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(-1, 1.5, 3000)
    y = (rng.random(3000) < expit(0.7 * z + 0.4)).astype(float)
    slope, intercept = calibration_line(y, expit(z), np.arange(3000))
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(z[:, None], y)
    assert slope.value == pytest.approx(model.coef_[0, 0], abs=1e-5)
    assert slope.low < 0.7 < slope.high
    # the intercept shifts the predictions so that observed and predicted events agree
    assert expit(z + intercept.value).sum() == pytest.approx(y.sum(), abs=1e-4)
    # for independent recordings, the sandwich estimate is close to the inverse information
    fitted = model.predict_proba(z[:, None])[:, 1]
    design = np.column_stack([z, np.ones(3000)])
    information = design.T @ (design * (fitted * (1 - fitted))[:, None])
    expected = 1.96 * np.sqrt(np.linalg.inv(information)[0, 0])
    assert slope.high - slope.value == pytest.approx(expected, rel=0.05)
    doubled = calibration_line(np.tile(y, 2), np.tile(expit(z), 2), np.tile(np.arange(3000), 2))
    assert doubled[0].low == pytest.approx(slope.low, abs=1e-5)
    assert doubled[1].high == pytest.approx(intercept.high, abs=1e-5)


def test_calibrated_probabilities_have_slope_one_and_intercept_nought() -> None:
    y, s = scored(4000)
    z = s[:, 0]
    model = LogisticRegression(C=1e12, tol=1e-10).fit(z[:, None], y)
    slope, intercept = calibration_line(y, model.predict_proba(z[:, None])[:, 1], np.arange(4000))
    assert (slope.value, intercept.value) == pytest.approx((1.0, 0.0), abs=1e-4)


def test_calibration_lines_that_do_not_exist_say_why() -> None:
    y, patients = np.repeat([0.0, 1.0], 20), np.arange(40)
    slope, intercept = calibration_line(y, np.where(y == 1, 0.8, 0.3), patients)
    assert np.isnan(slope.value)
    assert "separates" in slope.reason
    assert np.isfinite(intercept.value)
    assert "separates" in calibration_line(y, np.where(y == 1, 0.3, 0.8), patients)[0].reason
    flat = calibration_line(y, np.full(40, 0.2), patients)
    assert "equal" in flat[0].reason
    assert flat[1].value == pytest.approx(logit(0.5) - logit(0.2), abs=1e-6)
    assert calibration_line(np.zeros(40), np.linspace(0, 1, 40), patients)[1].plain() == {
        "value": None,
        "low": None,
        "high": None,
        "undefined": "both classes are needed",
    }


def test_net_benefit_is_counted() -> None:
    y, s = scored(300)
    p = np.round(expit(s[:, 0]), 2)
    y[:7] = np.nan
    known = ~np.isnan(y)
    expected = []
    for risk in RISKS:
        called = p[known] >= risk
        hits, false = (called & (y[known] == 1)).sum(), (called & (y[known] == 0)).sum()
        expected.append(hits / known.sum() - false / known.sum() * risk / (1 - risk))
    np.testing.assert_allclose(net_benefit(y, p), expected, atol=1e-12)
    prevalence = np.nanmean(y)
    np.testing.assert_allclose(treat_all(y), prevalence - (1 - prevalence) * RISKS / (1 - RISKS), atol=1e-12)
    assert np.isnan(net_benefit([np.nan], [0.5])).all()


def test_rates_at_a_threshold_are_counted_and_resampled_by_patient() -> None:
    y, s = scored(200)
    y[:10] = np.nan
    called, patients = s[:, 0] > 0.5, np.repeat(np.arange(100), 2)
    found = ratios(rate_columns(y, called), patients, 50, 3)
    known = ~np.isnan(y)
    tn, fp, fn, tp = confusion_matrix(y[known], called[known]).ravel()
    expected = {
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
    }
    assert {k: e.value for k, e in found.items()} == pytest.approx(expected)
    weights = np.concatenate(list(patient_weights(patients, 50, 3)))
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(200), weight)
        drawn = drawn[known[drawn]]
        tn, fp, fn, tp = confusion_matrix(y[drawn], called[drawn]).ravel()
        assert found["ppv"].replicates[row] == pytest.approx(tp / (tp + fp))
        assert found["specificity"].replicates[row] == pytest.approx(tn / (tn + fp))
    entry = describe_point(0.5, y, called, found, 0.95)
    assert entry["tp"] + entry["fn"] == int(np.nansum(y))
    assert entry["sensitivity"]["low"] < entry["sensitivity"]["value"] < entry["sensitivity"]["high"]
    none_called = ratios(rate_columns(y, np.zeros(200, dtype=bool)), patients, 50, 3)
    undefined = describe_point(0.9, y, np.zeros(200, dtype=bool), none_called, 0.95)
    assert undefined["undefined"] == {"ppv": "none is called positive"}
    assert set(RATES) <= set(undefined)


def test_predictive_values_of_one_class_are_undefined() -> None:
    called = np.arange(20) < 15
    for target, reason, rate, value in (
        (1.0, "no negative recording", "sensitivity", 0.75),
        (0.0, "no positive recording", "specificity", 0.25),
    ):
        y = np.full(20, target)
        point = describe_point(0.5, y, called, ratios(rate_columns(y, called), np.arange(20), 50, 3), 0.95)
        other = "specificity" if rate == "sensitivity" else "sensitivity"
        assert point[rate]["value"] == value
        assert point["undefined"] == {other: reason, "ppv": reason, "npv": reason}

"""Calibrators, thresholds and their file, compared with scikit-learn, scipy, slow definitions and brute force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss

from ecgssl.errors import InputError
from ecgssl.evaluation.calibration import calibrators
from ecgssl.evaluation.calibration.calibrators import Calibrator, fit_calibrator, fit_linear, fit_temperature
from ecgssl.evaluation.calibration.decision import Decision, fit_decision
from ecgssl.evaluation.calibration.thresholds import Threshold, fit_thresholds


def scores(count: int = 2000, seed: int = 0, slope: float = 0.5, shift: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits with a known linear calibration error, and the outcomes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, count)
    return z, (rng.random(count) < expit(slope * z + shift)).astype(float)


def softened(y: np.ndarray) -> np.ndarray:
    positives = y.sum()
    return np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))


def test_platt_is_an_unpenalised_logistic_regression_on_softened_outcomes() -> None:
    z, y = scores()
    soft = softened(y)
    doubled = np.concatenate([z, z])[:, None]
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000)
    model.fit(doubled, np.repeat([1, 0], len(z)), sample_weight=np.concatenate([soft, 1 - soft]))
    found = fit_calibrator(z, y, "platt")
    assert found.method == "platt"
    np.testing.assert_allclose([found.slope, found.intercept], [model.coef_[0, 0], model.intercept_[0]], atol=1e-5)
    np.testing.assert_allclose([found.slope, found.intercept], [0.5, -1.0], atol=0.1)


def test_a_temperature_minimises_the_log_loss() -> None:
    z, y = scores(shift=0.0)
    soft = softened(y)
    best = minimize_scalar(
        lambda t: -(soft * np.log(expit(z / t)) + (1 - soft) * np.log(expit(-z / t))).mean(), bounds=(0.1, 10)
    )
    found = fit_calibrator(z, y, "temperature")
    assert (found.method, found.intercept) == ("temperature", 0.0)
    assert 1 / found.slope == pytest.approx(best.x, rel=1e-4)


def test_isotonic_is_scikit_learns_between_and_beyond_the_knots() -> None:
    z, y = scores()
    z = np.round(z, 1)
    found = fit_calibrator(z, y, "isotonic")
    reference = IsotonicRegression(out_of_bounds="clip").fit(z, y)
    where = np.linspace(-20, 20, 500)
    bound = 1 / (len(y) + 2)
    bounded = np.clip(reference.predict(np.unique(z)), bound, 1 - bound)
    np.testing.assert_allclose(found(where), np.interp(where, np.unique(z), bounded), atol=1e-12)
    # the min-max definition: largest over starts of the smallest over ends of the mean outcome in between
    some, outcome = np.unique(z)[:40], []
    sums, counts = (np.array([w[z == s].sum() for s in np.unique(z)]) for w in (y, np.ones_like(y)))
    total, number = np.r_[0, sums.cumsum()], np.r_[0, counts.cumsum()]
    for k in range(len(some)):
        ends = range(k, len(sums))
        means = [min((total[e + 1] - total[b]) / (number[e + 1] - number[b]) for e in ends) for b in range(k + 1)]
        outcome.append(max(means))
    np.testing.assert_allclose(found(some), np.clip(outcome, bound, 1 - bound), atol=1e-12)


def test_one_temperature_serves_a_softmax() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(0, 3, (1500, 4))
    codes = np.array([rng.choice(4, p=row) for row in softmax(z / 2.5, axis=1)])
    found = fit_temperature(z, codes)
    best = minimize_scalar(lambda t: log_loss(codes, softmax(z / t, axis=1), labels=range(4)), bounds=(0.2, 10))
    assert 1 / found.slope == pytest.approx(best.x, rel=0.02)
    decision = fit_decision("multiclass", list("abcd"), z, np.eye(4)[codes], method="platt")
    np.testing.assert_allclose(decision.probabilities(z), softmax(found.slope * z, axis=1))
    assert decision.calls(z).sum(axis=1).tolist() == [1.0] * len(z)


def test_a_line_serves_a_regression_only_where_asked() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(60, 10, 200)
    y = 1.3 * x - 5 + rng.normal(0, 4, 200)
    model = LinearRegression().fit(x[:, None], y)
    found = fit_linear(x, y)
    np.testing.assert_allclose([found.slope, found.intercept], [model.coef_[0], model.intercept_])
    kept = fit_decision("regression", ["age"], x[:, None], y[:, None])
    np.testing.assert_array_equal(kept.probabilities(x[:, None]), x[:, None])
    line = fit_decision("regression", ["age"], x[:, None], y[:, None], method="linear")
    np.testing.assert_allclose(line.probabilities(x[:, None])[:, 0], model.predict(x[:, None]))


def test_what_cannot_be_fitted_is_left_alone_with_a_reason() -> None:
    z, y = scores(300)
    few = np.where(np.cumsum(y) <= 3, y, 0.0)
    assert "3 positive" in fit_calibrator(z, few, "platt").reason
    assert "0 positive" in fit_calibrator(z, np.full(300, np.nan), "platt").reason
    assert "0 positive" in fit_calibrator(z, np.zeros(300), "isotonic").reason
    short = fit_calibrator(z[:150], y[:150], "isotonic")
    assert short.method == "platt"
    assert "isotonic needs 100" in short.reason
    for method in ("platt", "temperature", "isotonic"):
        falling = fit_calibrator(-10 * z, y, method)  # type: ignore[arg-type]
        assert falling.method in ("none", "platt")
        assert falling.method == "none"
        assert "do not increase" in falling.reason
    assert "do not increase" in fit_calibrator(np.ones(300), y, "platt").reason
    assert fit_linear([1.0] * 20, np.arange(20.0)).reason
    assert fit_temperature(np.zeros((5, 3)), [0, 1, 2, 0, 1]).reason


def test_complete_separation_keeps_a_finite_slope() -> None:
    z = np.r_[np.linspace(-3, -1, 30), np.linspace(1, 3, 30)]
    y = (z > 0).astype(float)
    for method in ("platt", "temperature"):
        found = fit_calibrator(z, y, method)  # type: ignore[arg-type]
        assert 0 < found.slope < 50
        assert found(z).max() < 1
    assert fit_temperature(np.c_[z, -z], 1 - y).slope < 50


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(["temperature", "platt", "isotonic"]))
def test_calibration_never_reverses_two_recordings(seed: int, method: Any) -> None:
    z, y = scores(400, seed)
    assert (np.diff(fit_calibrator(z, y, method)(np.sort(z))) >= 0).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_thresholds_are_those_of_brute_force(seed: int, grid: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(80) < 0.4).astype(float)
    p = np.round(expit(rng.normal(size=80) + y) * grid) / grid
    y[rng.random(80) < 0.1] = np.nan
    found = fit_thresholds(p, y, [0.9, 0.75], [0.8])
    known = ~np.isnan(y)
    p, y = p[known], y[known]
    distinct = np.unique(p)
    rates = []
    for cut in (distinct[1:] + distinct[:-1]) / 2:
        called = p >= cut
        rates.append((cut, called[y == 1].mean(), (~called)[y == 0].mean()))
    expected: dict[str, list[tuple[float, float, float]]] = {
        "sensitivity_0.90": sorted((r for r in rates if r[1] >= 0.9), reverse=True),
        "sensitivity_0.75": sorted((r for r in rates if r[1] >= 0.75), reverse=True),
        "specificity_0.80": sorted(r for r in rates if r[2] >= 0.8 and r[1] > 0),
    }
    top = max((r[1] + r[2] for r in rates), default=0.0)
    expected["youden"] = sorted(r for r in rates if top > 1 + 1e-12 and r[1] + r[2] >= top - 1e-12)
    for name, best in expected.items():
        got = found[name]
        if best:
            assert (got.value, got.sensitivity, got.specificity) == pytest.approx(best[0])
        else:
            assert got.value is None
            assert got.reason


def test_thresholds_need_ten_of_each_class() -> None:
    p = np.linspace(0, 1, 50)
    for ones in (0, 3, 9, 41, 50):
        found = fit_thresholds(p, (np.arange(50) >= 50 - ones).astype(float), [0.9])
        assert all(cut.value is None and "10 of each needed" in cut.reason for cut in found.values())
    assert all(cut.value is None for cut in fit_thresholds(np.ones(50), p > 0.5, [0.9], [0.9]).values())


def test_a_decision_comes_back_exactly(tmp_path: Path) -> None:
    z, y = scores(800)
    logits, targets = np.c_[z, -z, z, z], np.c_[y, 1 - y, np.where(np.cumsum(y) <= 3, y, 0.0), y]
    decision = fit_decision("multilabel", ["AF", "SR", "rare", "U"], logits, targets, fitted_on={"split": "val"})
    mixed = Decision(
        "multilabel", (*decision.labels[:3], decision.labels[3].__class__("U", fit_calibrator(z, y, "isotonic")))
    )
    for one in (decision, mixed):
        one.save(tmp_path)
        again = Decision.load(tmp_path)
        assert again == one
        np.testing.assert_array_equal(again.probabilities(logits), one.probabilities(logits))
    calls = decision.calls(logits, "sensitivity_0.90")
    assert np.isnan(calls[:, 2]).all()
    assert calls[y == 1, 0].mean() >= 0.9
    assert np.isnan(decision.calls(logits, "no such")).all()
    assert logit(decision.probabilities(logits)[:, 0]) == pytest.approx(
        decision.labels[0].calibrator.slope * z + decision.labels[0].calibrator.intercept
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": "other"}, "format"),
        ({"version": 99}, "version"),
        ({"kind": "other"}, "kind"),
        ({"labels": []}, "labels"),
        ({"labels": [{"name": "AF"}]}, "labels.0.calibrator"),
        ({"labels": None}, "labels"),
    ],
)
def test_a_broken_decision_is_refused_by_name(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    z, y = scores(300)
    data = json.loads(json.dumps(fit_decision("multilabel", ["AF"], z[:, None], y[:, None]).to_dict()))
    with pytest.raises(InputError) as caught:
        Decision.from_dict(data | change)
    assert caught.value.problems[0].field == named
    with pytest.raises(InputError, match="does not exist"):
        Decision.load(tmp_path)
    (tmp_path / "decision.json").write_text("{")
    with pytest.raises(InputError, match="is not readable JSON"):
        Decision.load(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"slope": 0.0},
        {"slope": -1.0},
        {"slope": float("nan")},
        {"method": "other"},
        {"method": "isotonic"},
        {"knots": (0.0,), "levels": (0.5,)},
        {"method": "isotonic", "knots": (0.0, 0.0), "levels": (0.1, 0.5)},
        {"method": "isotonic", "knots": (0.0, 1.0), "levels": (0.5, 0.1)},
        {"method": "isotonic", "knots": (0.0, 1.0), "levels": (0.5, 1.1)},
    ],
)
def test_impossible_calibrators_and_thresholds_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slope|method|isotonic|knots|levels"):
        Calibrator(**wrong)
    for value, reason in ((None, ""), (0.5, "why"), (1.5, "")):
        with pytest.raises(ValueError, match="threshold"):
            Threshold(value, reason=reason)


@pytest.mark.parametrize("few", [0, 10_000])
def test_logistic_and_softmax_are_those_of_scipy(monkeypatch: Any, few: int) -> None:
    """With few values, the logistic function is computed without scipy; the results are equal to the last digit."""
    monkeypatch.setattr(calibrators, "_FEW", few)
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(0, scale, 1000) for scale in (1, 10, 300)])
    x = np.append(x, [0.0, 709.0, -709.0, -709.9, -800.0, np.inf, -np.inf, np.nan])
    for values in (x, x.reshape(-1, 8), x[:0]):
        np.testing.assert_array_max_ulp(calibrators.logistic(values), expit(values), maxulp=1)
        assert calibrators.logistic(values).shape == values.shape
    for rows in (x[:3000].reshape(-1, 3), x[:3000].reshape(3, -1).T, np.zeros((0, 4))):
        np.testing.assert_array_equal(calibrators.softmax(rows), softmax(rows, axis=1))

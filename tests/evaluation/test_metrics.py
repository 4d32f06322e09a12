"""Ranking and calibration metrics compared with scikit-learn and scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.calibration.reliability import brier, expected_calibration_error, reliability, wilson
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.evaluation.statistics import metrics
from ecgssl.evaluation.statistics.metrics import Metric, macro, ranking_metrics, support
from ecgssl.evaluation.statistics.ranking import area_under_roc

rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.integers(-4, 4), st.integers(0, 3)), min_size=1, max_size=40
)


@settings(max_examples=120, deadline=None)
@given(rows)
def test_equal_to_scikit_learn_with_ties_masks_and_weights(data: list[tuple[float, int, int]]) -> None:
    y, s, w = (np.array(column, dtype=float) for column in zip(*data, strict=True))
    auroc, auprc = ranking_metrics(y, s, np.stack([np.ones_like(w), w]))
    for row, weight in enumerate((np.ones_like(w), w)):
        use = ~np.isnan(y) & (weight > 0)
        if len(np.unique(y[use])) < 2:
            assert np.isnan(auroc[row])
            assert np.isnan(auprc[row])
        else:
            assert auroc[row] == pytest.approx(roc_auc_score(y[use], s[use], sample_weight=weight[use]), abs=1e-12)
            expected = average_precision_score(y[use], s[use], sample_weight=weight[use])
            assert auprc[row] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(area_under_roc(y, s), auroc[0])


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_order_of_records_does_not_matter(data: list[tuple[float, int, int]], random: object) -> None:
    y, s, w = (np.array(column, dtype=float) for column in zip(*data, strict=True))
    shuffled = np.array(random.sample(range(len(y)), len(y)))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(
        ranking_metrics(y, s, w[None]), ranking_metrics(y[shuffled], s[shuffled], w[None, shuffled])
    )
    p = (s + 5) / 10
    assert reliability(y, p) == reliability(y[shuffled], p[shuffled])


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([0, 0, np.nan], "no positive record"),
        ([1, 1], "no negative record"),
        ([np.nan], "no record with a known target"),
    ],
)
def test_undefined_is_nan_with_a_reason_and_out_of_the_macro_mean(y: list[float], reason: str) -> None:
    assert np.isnan(ranking_metrics(y, np.arange(len(y)))).all()
    assert support(y).undefined == reason
    defined = np.array([0, 1] + [np.nan] * len(y))
    targets = np.stack([defined, np.r_[np.full(2, np.nan), y]], axis=1)
    scores = np.tile(np.arange(len(defined), dtype=float)[:, None], (1, 2))
    values = np.array([[m[0] for m in ranking_metrics(targets[:, k], scores[:, k])] for k in range(2)])
    assert macro(values.T).tolist() == [1.0, 1.0]


def test_macro_mean_without_a_defined_label_is_nan() -> None:
    assert np.isnan(ranking_metrics(np.zeros(3), np.zeros(3))).all()
    assert np.isnan(macro(np.array([np.nan, np.nan])))


def test_a_registered_metric_is_reported_and_paired_only_if_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (60, 2)).astype(float)
    keys = [f"r{i}" for i in range(60)], [f"p{i}" for i in range(60)], ["val"] * 30 + ["test"] * 30
    models = (
        prediction_table(*keys, name, ["a", "b"], y, y + rng.normal(size=y.shape)) for name in ("linear", "random")
    )
    table = pd.concat(models, ignore_index=True)

    def count(sample):
        weight = np.ones((1, len(sample.target))) if sample.weight is None else sample.weight
        return weight[:, ~np.isnan(sample.target)].sum(axis=1).astype(float)

    known = Metric("known", "known recordings", ("multilabel",), count)
    both = replace(known, name="both", paired=True)
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, known, both))
    found = evaluate(table, EvaluateParams(bootstrap=100), 0)
    entry = found["models"]["linear"]["test"]
    assert entry["labels"]["a"]["known"]["value"] == entry["macro"]["known"]["value"] == 30
    assert "known" not in found["paired"]["test"]["random"]
    assert found["paired"]["test"]["random"]["both"]["difference"] == 0


def test_unknown_targets_may_have_any_score_but_known_ones_may_not() -> None:
    assert ranking_metrics([0, 1, np.nan], [0, 1, np.nan])[0][0] == 1
    assert area_under_roc([0, 1, np.nan], [0, 1, np.nan]) == 1
    for function in (ranking_metrics, area_under_roc):
        with pytest.raises(ValueError, match="finite"):
            function([0, 1], [0, np.inf])
        with pytest.raises(ValueError, match="0, 1 or NaN"):
            function([0, 2], [0, 1])


def test_brier_and_wilson_equal_other_libraries() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200)
    y = (rng.random(200) < p).astype(float)
    assert brier(np.r_[y, np.nan], np.r_[p, 0.3]) == pytest.approx(brier_score_loss(y, p))
    for positives, records in ((0, 5), (5, 5), (3, 17), (120, 200)):
        expected = binomtest(positives, records).proportion_ci(0.95, method="wilson")
        assert wilson(positives, records) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_reliability_bins_are_equal_counts_of_the_sorted_probabilities() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(1000)
    y = (rng.random(1000) < p**2).astype(float)
    found = reliability(y, p)
    order = np.argsort(p).reshape(10, 100)
    assert [b.records for b in found] == [100] * 10
    np.testing.assert_allclose([b.predicted for b in found], p[order].mean(1))
    np.testing.assert_allclose([b.observed for b in found], y[order].mean(1))
    expected = np.abs(p[order].mean(1) - y[order].mean(1)).mean()
    assert expected_calibration_error(y, p) == pytest.approx(expected)


def test_calibration_closed_forms() -> None:
    y = np.r_[np.ones(30), np.zeros(70)]
    assert expected_calibration_error(y, np.full(100, 0.3)) == pytest.approx(0)
    assert expected_calibration_error(y, np.full(100, 0.5)) == pytest.approx(0.2)
    assert len(reliability(y, np.full(100, 0.5))) == 1
    assert np.isnan(brier([np.nan], [0.5]))
    assert np.isnan(expected_calibration_error([np.nan], [0.5]))


def test_every_metric_has_a_title_and_kinds() -> None:
    for metric in metrics.METRICS:
        assert metric.title.strip(), metric.name
        assert metric.kinds, metric.name
        assert set(metric.headline) <= set(metric.kinds), metric.name

"""Clustered bootstrap compared with a slow loop over resamples, and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgssl.evaluation.statistics import bootstrap as intervals
from ecgssl.evaluation.statistics.bootstrap import (
    bootstrap,
    interval,
    macro_interval,
    paired_difference,
    patient_weights,
)


def cohort(patients: int = 40, labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    keys = np.repeat([f"p{k}" for k in range(patients)], rng.integers(1, 4, patients))
    y = (rng.random((len(keys), labels)) < [0.5, 0.3, 0.05]).astype(float)
    scores = np.round(y + rng.normal(size=y.shape), 1)
    y[rng.random(y.shape) < 0.1] = np.nan
    return y, scores, keys


def test_equal_to_a_loop_that_resamples_records_and_calls_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_CELLS", 1000)
    y, scores, keys = cohort()
    found = bootstrap(y, scores, keys, 60, seed=5)
    row, missing = 0, 0
    for block in patient_weights(keys, 60, seed=5):
        for weight in block:
            records = np.concatenate([np.full(n, i) for i, n in enumerate(weight)]).astype(int)
            for k in range(3):
                known = records[~np.isnan(y[records, k])]
                if len(np.unique(y[known, k])) < 2:
                    missing += 1
                    assert np.isnan(found.values["auroc"][row, k])
                    assert np.isnan(found.values["auprc"][row, k])
                    continue
                truth, score = y[known, k], scores[known, k]
                assert found.values["auroc"][row, k] == pytest.approx(roc_auc_score(truth, score))
                assert found.values["auprc"][row, k] == pytest.approx(average_precision_score(truth, score))
            row += 1
    assert row == 60
    assert missing > 0
    third = found.values["auroc"][:, 2]
    assert interval(third).dropped == np.isnan(third).sum() == missing
    assert macro_interval(found, "auroc", np.array([True, True, True]), 0.95).dropped == missing
    np.testing.assert_allclose(found.macro("auroc"), np.nanmean(found.values["auroc"], axis=1))


def test_patients_are_drawn_whole_and_their_number_is_kept() -> None:
    _, _, keys = cohort()
    weight = np.concatenate(list(patient_weights(keys, 200, seed=1)))
    for key in np.unique(keys):
        inside = weight[:, keys == key]
        assert (inside == inside[:, :1]).all()
    first = np.array([np.flatnonzero(keys == key)[0] for key in np.unique(keys)])
    assert (weight[:, first].sum(1) == len(first)).all()
    assert weight[:, first].mean() == pytest.approx(1)
    assert weight[:, first].var() == pytest.approx(1 - 1 / len(first), rel=0.05)


def test_the_order_of_records_does_not_matter() -> None:
    y, scores, keys = cohort()
    order = np.random.default_rng(3).permutation(len(keys))
    a = bootstrap(y, scores, keys, 100, seed=0)
    b = bootstrap(y[order], scores[order], keys[order], 100, seed=0)
    for metric in ("auroc", "auprc"):
        np.testing.assert_array_equal(a.values[metric], b.values[metric])


def test_paired_difference() -> None:
    y, good, keys = cohort(200)
    noise = np.random.default_rng(2).normal(size=good.shape)
    first = bootstrap(y, good, keys, 400, seed=0)
    second = bootstrap(y, noise, keys, 400, seed=0)
    same = paired_difference(first, first, "auroc")
    assert (same.low, same.high, same.p) == (0, 0, 1)
    better, worse = paired_difference(first, second, "auroc"), paired_difference(second, first, "auroc")
    assert better.low > 0
    assert better.p == worse.p == pytest.approx(2 / 401)
    assert (worse.low, worse.high) == pytest.approx((-better.high, -better.low))
    with pytest.raises(ValueError, match="same patients"):
        paired_difference(first, bootstrap(y, noise, keys, 400, seed=1), "auroc")


def test_never_defined_is_nan_and_counted() -> None:
    y, scores, keys = np.zeros((6, 1)), np.arange(6.0)[:, None], np.arange(6)
    found = interval(bootstrap(y, scores, keys, 100, seed=0).values["auroc"][:, 0])
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert found.dropped == 100


def test_coverage_of_clustered_data_is_about_right() -> None:
    """With eight near-copies per patient, the patient bootstrap covers the true AUROC and a record bootstrap does
    not.
    """
    true = norm.cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(11)
    inside = {"patients": 0, "records": 0}
    trials = 80
    for trial in range(trials):
        y = np.repeat((rng.random(80) < 0.5).astype(float), 8)
        scores = y + np.repeat(rng.normal(size=80), 8) * np.sqrt(0.95) + rng.normal(size=640) * np.sqrt(0.05)
        for kind, keys in (("patients", np.repeat(np.arange(80), 8)), ("records", np.arange(640))):
            found = interval(bootstrap(y[:, None], scores[:, None], keys, 200, seed=trial).values["auroc"][:, 0])
            inside[kind] += found.low <= true <= found.high
    assert 0.87 <= inside["patients"] / trials <= 0.99
    assert inside["records"] / trials < 0.7

"""Counts of patients of a label, and the caution for intervals that rest on few patients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from interval_coverage import main, true_values
from scipy.stats import norm

from ecgssl.evaluation.by_kind.result import class_counts


def test_counts_are_of_patients_and_of_recordings() -> None:
    y = np.array([1, 1, 1, 0, 0, np.nan])
    found = class_counts(y, np.array(["a", "a", "b", "b", "c", "d"]))
    assert (found["records"], found["patients"], found["positives"], found["positive_patients"]) == (5, 3, 3, 2)
    assert found["caution"].startswith("only 2 patients have positive recordings")


@pytest.mark.parametrize(
    ("positive", "negative", "rare"), [(19, 50, "19 patients have positive"), (50, 1, "1 patient has negative")]
)
def test_a_caution_below_twenty_patients_of_a_class(positive: int, negative: int, rare: str) -> None:
    y = np.r_[np.ones(positive), np.zeros(negative)]
    assert f"only {rare} recordings" in class_counts(y, np.arange(len(y)).astype(str))["caution"]


def test_no_caution_with_twenty_and_a_reason_without_positives() -> None:
    y = np.r_[np.ones(20), np.zeros(20)]
    assert "caution" not in class_counts(y, np.arange(40).astype(str))
    assert class_counts(np.zeros(3), np.array(["a", "b", "c"]))["undefined"] == "no positive record"


def test_the_simulation_prints_the_coverage_of_both_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--samples", "20", "--resamples", "50", "--negatives", "30", "--positives", "5"])
    found = json.loads(capsys.readouterr().out)
    assert [(row["positives"], row["true"]["auroc"]) for row in found["rows"]] == [(5, 0.75), (5, 0.9)]
    for row in found["rows"]:
        for metric in ("auroc", "auprc"):
            assert row[metric]["coverage"] + row[metric]["below"] + row[metric]["above"] == pytest.approx(1)


def test_the_true_average_precision_is_that_of_a_large_sample() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200_000) < 20_000
    order = np.argsort(-(rng.normal(size=y.size) + y * np.sqrt(2) * norm.ppf(0.9)))
    hits = y[order]
    precision = np.cumsum(hits) / np.arange(1, y.size + 1)
    assert true_values(0.9, 0.1)["auprc"] == pytest.approx(precision[hits].mean(), abs=0.01)

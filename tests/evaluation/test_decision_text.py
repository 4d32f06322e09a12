"""Sentences about calibrators and thresholds follow from the decision alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import KEPT, Decision, LabelDecision, fit_decision
from ecgssl.evaluation.calibration.decision_text import calibration_text, has_calibrator, has_threshold, threshold_text

ABOUT = {"split": "val", "records": 60, "patients": 50}


def two_labels(method: str = "platt", rare: int = 3) -> Decision:
    """Return a decision on 60 recordings: AF with 30 positives, and RARE with few."""
    rng = np.random.default_rng(0)
    y = np.zeros((60, 2))
    y[:30, 0], y[:rare, 1] = 1, 1
    logits = y + rng.normal(0, 1, y.shape)
    return fit_decision("multilabel", ["AF", "RARE"], logits, y, method=method, fitted_on=ABOUT)


def test_labels_with_and_without_a_calibrator_are_named():
    decision = two_labels()
    assert calibration_text(decision) == (
        "AF: platt, fitted on validation (60 recordings of 50 patients); "
        "RARE: none (3 positive and 57 negative, 10 of each needed)"
    )
    assert threshold_text(decision) == (
        "AF: Youden's index, sensitivity 0.90, specificity 0.90, chosen on validation (60 recordings of 50 patients); "
        "RARE: none (3 positive and 57 negative recordings, 10 of each needed)"
    )


def test_without_validation_recordings_no_count_is_stated():
    none = np.zeros((0, 1))
    about = {"split": "val", "records": 0, "patients": 0}
    decision = fit_decision("multilabel", ["AF"], none, none, fitted_on=about)
    assert threshold_text(decision) == "none (no recordings of validation to choose them on)"
    assert calibration_text(decision) == "none (no recordings of validation to fit on)"


def test_the_method_that_replaced_another_is_named():
    said = calibration_text(two_labels("isotonic", rare=20))
    assert "isotonic needs 100 of each class, there are 30 positive and 30 negative" in said
    assert said.startswith("AF: platt (")


def test_a_recalibration_that_kept_a_calibrator_says_so():
    decision = two_labels()
    kept = replace(decision.labels[1], calibrator=Calibrator("platt", 2.0, 0.1, reason=f"{KEPT}: too few"))
    again = replace(
        decision, labels=(decision.labels[0], kept), fitted_on=ABOUT | {"split": "a share", "thresholds": "as frozen"}
    )
    assert calibration_text(again) == (
        "AF: platt, fitted on a share (60 recordings of 50 patients); RARE: platt, kept from the first site: too few"
    )
    assert "chosen on validation of the first site and unchanged" in threshold_text(again)


@pytest.mark.parametrize(
    ("kind", "calibrator", "expected", "thresholds"),
    [
        ("regression", Calibrator("linear"), "none (not requested)", "none; the output is a number"),
        (
            "regression",
            Calibrator("linear", 1.2, 3.0),
            "linear, fitted on validation (60 recordings of 50 patients)",
            "",
        ),
        ("multiclass", Calibrator("temperature", 0.5), "temperature, fitted on", "the most probable class"),
        ("multilabel", Calibrator(), "none (not requested)", "none (not requested)"),
    ],
)
def test_every_kind_of_task(kind, calibrator, expected, thresholds):
    decision = Decision(kind, (LabelDecision("a", calibrator), LabelDecision("b", calibrator)), ABOUT)
    assert calibration_text(decision).startswith(expected)
    assert thresholds in threshold_text(decision)
    assert has_calibrator(decision) == (not expected.startswith("none"))
    assert not has_threshold(decision)

"""Prediction tables of multiclass and regression tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgssl.errors import InputError
from ecgssl.evaluation.predictions import (
    check_predictions,
    kind_of,
    labels_of,
    prediction_table,
    read_predictions,
    write_predictions,
)

KEYS = (["a", "b", "c"], ["p", "q", "r"], ["val", "test", "test"], "linear")
NAMES = ["rhythm:SR", "rhythm:AF", "rhythm:other"]


def classes() -> pd.DataFrame:
    logits = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [800.0, -800.0, 0.0]])
    return prediction_table(*KEYS, NAMES, [[0, 0, 1], [np.nan] * 3, [1, 0, 0]], logits, "multiclass")


def numbers() -> pd.DataFrame:
    return prediction_table(*KEYS, ["ef"], [[55.0], [np.nan], [31.5]], [[50.0], [60.0], [1 / 3]], "regression")


def test_probabilities_of_classes_are_a_softmax():
    table = classes()
    assert kind_of(table) == "multiclass"
    assert labels_of(table) == NAMES
    p = table[[f"prob__{n}" for n in NAMES]].to_numpy()
    e = np.exp([0.0, 1.0, 2.0])
    np.testing.assert_allclose(p[0], e / e.sum(), rtol=1e-12)
    np.testing.assert_allclose(p[2], [1, 0, 0], atol=1e-300)


def test_numbers_have_no_probability():
    table = numbers()
    assert list(table.columns) == ["record_id", "patient", "split", "model", "kind", "target__ef", "pred__ef"]
    assert kind_of(table) == "regression"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("made", [classes, numbers])
def test_round_trip(tmp_path, suffix, made):
    write_predictions(made(), tmp_path / f"p{suffix}")
    pd.testing.assert_frame_equal(read_predictions(tmp_path / f"p{suffix}"), made())


def test_a_file_without_kind_is_multilabel(tmp_path):
    table = prediction_table(*KEYS, ["AF"], [[1], [0], [np.nan]], [[1], [2], [3]])
    table.drop(columns="kind").to_csv(tmp_path / "old.csv", index=False)
    read = read_predictions(tmp_path / "old.csv")
    pd.testing.assert_frame_equal(read, table)
    assert kind_of(read) == "multilabel"


@pytest.mark.parametrize(
    ("made", "column", "value", "message"),
    [
        (classes, "target__rhythm:SR", 1.0, "1 records do not have exactly one class"),
        (classes, "target__rhythm:other", 0.0, "1 records do not have exactly one class"),
        (classes, "target__rhythm:other", np.nan, "1 records do not have exactly one class"),
        (classes, "prob__rhythm:SR", 0.5, "do not add up to 1"),
        (classes, "kind", "regression", "kind: has values multiclass, regression"),
        (numbers, "pred__ef", np.nan, "pred__ef: 1 values are not finite"),
        (numbers, "target__ef", np.inf, "target__ef: 1 values are not finite"),
    ],
)
def test_what_is_refused(made, column, value, message):
    table = made()
    table.loc[0, column] = value
    with pytest.raises(InputError, match=message):
        check_predictions(table, "here")


def test_columns_that_a_kind_needs():
    with pytest.raises(InputError, match="pred__ef: column is missing"):
        check_predictions(numbers().drop(columns="pred__ef"), "here")
    odd = numbers().assign(kind="odd")
    with pytest.raises(InputError, match="kind: has values odd"):
        check_predictions(odd, "here")

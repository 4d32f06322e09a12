"""Imputation with indicator columns, limits, and measurements without a known value."""

from __future__ import annotations

import numpy as np

from ecgssl.probes.feature_columns import TAIL, fit_columns

nan = np.nan
TRAIN = np.array([[1.0, 10.0, nan, nan, 5.0], [2.0, nan, nan, nan, 6.0], [4.0, 30.0, nan, 7.0, 7.0]])
NAMES = ("full", "partly", "never", "once", "other")


def test_missing_values_are_the_training_median_and_are_marked():
    columns = fit_columns(TRAIN, NAMES)
    assert columns.left_out == ("never",)
    assert [NAMES[i] for i in columns.marked] == ["partly", "once"]
    found = columns.columns(np.array([[nan, nan, 3.0, 7.0, 6.0], [2.0, 20.0, nan, nan, nan]]))
    np.testing.assert_allclose(found, [[2, 20, 7, 6, 1, 0], [2, 20, 7, 6, 0, 1]])


def test_extreme_values_are_limited_to_those_of_the_training_recordings():
    values = np.random.default_rng(0).normal(size=(1000, 1))
    columns = fit_columns(values, ["x"])
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    np.testing.assert_allclose(columns.columns(np.array([[-50.0], [0.1], [50.0]]))[:, 0], [low, 0.1, high])


def test_measurements_missing_together_share_an_indicator():
    values = np.array([[1.0, 2.0, nan], [nan, nan, 4.0], [3.0, 1.0, 5.0]])
    assert fit_columns(values, "abc").marked.tolist() == [0, 2]


def test_without_any_known_value_there_is_one_constant_column():
    columns = fit_columns(np.full((4, 2), nan), ["a", "b"])
    assert columns.left_out == ("a", "b")
    np.testing.assert_array_equal(columns.columns(np.ones((3, 2))), np.zeros((3, 1)))

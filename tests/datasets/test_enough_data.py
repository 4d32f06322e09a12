"""Limits on the amount of data per target: findings, classes and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ecgssl.datasets.enough_data import FIT, LEARN, SCORE, cross_validation_minimum, shortages

NAN = np.nan


def test_findings_are_counted_by_patient() -> None:
    values = np.array([[1, 1], [1, 0], [0, 0], [0, NAN]])
    assert shortages("multilabel", ["a", "b"], values, [1, 1, 2, 3], FIT) == []
    what = dict(shortages("multilabel", ["a", "b"], values, [1, 1, 2, 3], LEARN))["a"]
    assert (
        what
        == "has 2 positive and 2 negative recordings of 1 and 2 patients, both classes of at least 4 patients are needed,"
    )
    assert shortages("multilabel", ["a"], [[1], [1]], [1, 2], SCORE)[0][1].endswith("both are needed,")


def test_all_classes_to_learn_but_two_to_score() -> None:
    values, names = np.eye(3)[[0, 1, 1]], ["t:x", "t:y", "t:z"]
    assert shortages("multiclass", names, values, range(3), SCORE) == []
    assert shortages("multiclass", names, values, range(3), FIT) == [
        ("t:z", "has recordings of 0 patients, at least 1 are needed,")
    ]
    assert shortages("multiclass", names, values[:1], [0], SCORE) == [("t", "has 1 of its classes, two are needed,")]


@pytest.mark.parametrize(
    ("cells", "what"),
    [([NAN, NAN], "no known value"), ([1, 2], "2 patients, 20 are needed"), ([7] * 20, "is 7 in all 20")],
)
def test_numbers(cells: list[float], what: str) -> None:
    found = shortages("regression", ["n"], np.array(cells)[:, None], np.arange(len(cells)), cross_validation_minimum(5))
    assert what in found[0][1]

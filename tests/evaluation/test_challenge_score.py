"""Challenge score compared with a loop over recordings by its definition, and the weights table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.evaluation.statistics.challenge_score import NORMAL, challenge_score, challenge_weights, challenge_year

NAMES = list(challenge_weights().columns)
NAMES_2020 = [n for n in NAMES if n not in ("BBB", "PRWP")]


def slow(targets: np.ndarray, called: np.ndarray, names: list[str]) -> float:
    weights = challenge_weights()

    def total(calls: np.ndarray) -> float:
        credit = 0.0
        for truth, output in zip(targets, calls, strict=True):
            true = {n for n, v in zip(names, truth, strict=True) if v == 1}
            positive = {n for n, v in zip(names, output, strict=True) if v}
            for t in true:
                for c in positive:
                    credit += float(weights.at[t, c]) / max(len(true | positive), 1)
        return credit

    normal = np.tile([n == NORMAL for n in names], (len(targets), 1))
    return (total(called) - total(normal)) / (total(targets) - total(normal))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([2020, 2021]))
def test_the_score_is_its_definition(seed: int, year: int) -> None:
    names = NAMES if year == 2021 else NAMES_2020
    rng = np.random.default_rng(seed)
    order = [names[k] for k in rng.permutation(len(names))]
    y = (rng.random((25, len(names))) < 0.1).astype(float)
    called = rng.random(y.shape) < 0.1
    assert challenge_year(order) == year
    assert challenge_score(y, called, order) == pytest.approx(slow(y, called, order))
    assert challenge_score(y, y, order) == pytest.approx(1.0)
    normal = np.tile([n == NORMAL for n in order], (25, 1))
    assert challenge_score(y, normal, order) == pytest.approx(0.0)


def test_the_table_is_the_challenges() -> None:
    table = challenge_weights()
    weights = table.to_numpy()
    assert weights.shape == (26, 26)
    assert (weights == weights.T).all()
    assert (np.diag(weights) == 1).all()
    off = weights[~np.eye(26, dtype=bool)]
    assert (off.min(), off.max()) == (0.15, 0.5)
    # pairs with the same treatment, and the least similar pairs
    assert table.at["AF", "AFL"] == 0.5
    assert table.at["PVC", "STach"] == 0.5
    assert table.at["QAb", NORMAL] == 0.15
    assert table.at["PAC", "LAD"] == 0.4875


def test_other_labels_and_a_cohort_of_normals_are_refused() -> None:
    assert challenge_year(["AF", "SR"]) is None
    with pytest.raises(ValueError, match="exactly the scored labels"):
        challenge_score(np.ones((3, 2)), np.ones((3, 2)), ["AF", "SR"])
    normal = np.tile([float(n == NORMAL) for n in NAMES], (4, 1))
    with pytest.raises(ValueError, match="sinus rhythm"):
        challenge_score(normal, normal, NAMES)

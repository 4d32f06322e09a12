"""Areas under curves and ratios in resamples, compared with their definitions, and their memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import rankdata

from ecgssl.evaluation.statistics import metrics, permutation, ranking
from ecgssl.evaluation.statistics.bootstrap import bootstrap, patient_weights
from ecgssl.evaluation.statistics.metrics import macro, weighted_ratios
from ecgssl.evaluation.statistics.permutation import permutation_test
from ecgssl.evaluation.statistics.ranking import Ranking, cumulative_counts


def slow_areas(y, s, w):
    """AUROC as the share of ordered pairs, and average precision as the sum over distinct scores."""
    known = ~np.isnan(y)
    y, s, w = y[known], s[known], w[known].astype(float)
    sick, well = y == 1, y == 0
    if not (w[sick].sum() and w[well].sum()):
        return np.nan, np.nan
    above = (s[sick][:, None] > s[well]) + 0.5 * (s[sick][:, None] == s[well])
    area = (w[sick][:, None] * w[well] * above).sum() / w[sick].sum() / w[well].sum()
    recalled = 0.0
    for cut in np.unique(s):
        called = w[s >= cut].sum()
        if called:
            recalled += w[(s == cut) & sick].sum() * w[(s >= cut) & sick].sum() / called
    return area, recalled / w[sick].sum()


@pytest.mark.parametrize("cells", [1, 64, 1 << 18])
@pytest.mark.parametrize(("share", "decimals"), [(0.02, 1), (0.5, 0), (0.5, 8), (1.0, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_areas_equal_their_definition(monkeypatch, cells, share, decimals, kind):
    monkeypatch.setattr(ranking, "_CELLS", cells)
    rng = np.random.default_rng(cells)
    y = (rng.random(90) < share).astype(float)
    s = (rng.normal(size=90) + y).round(decimals)
    y[rng.random(90) < 0.2] = np.nan
    w = rng.poisson(0.7, (6, 90)).astype(kind)
    w[0] = 0
    if kind is np.float64:
        w *= rng.random(w.shape)
    found = Ranking.of(y, s).areas(w)
    expected = np.transpose([slow_areas(y, s, each) for each in w])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    plain = np.transpose([slow_areas(y, s, np.ones(90))])
    np.testing.assert_allclose(Ranking.of(y, s).areas(), plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("y", [[], [np.nan, np.nan], [1.0], [0.0, 0.0]])
def test_areas_of_one_class_are_undefined(y):
    assert np.isnan(Ranking.of(y, np.zeros(len(y))).areas(np.ones((3, len(y)), np.uint8))).all()


def test_areas_follow_from_the_counts_at_every_score():
    """The previous implementation, which kept the counts at all distinct scores of all resamples."""
    rng = np.random.default_rng(5)
    y = (rng.random(3000) < 0.1).astype(float)
    s = (rng.normal(size=3000) + y).round(2)
    w = rng.poisson(1, (40, 3000)).astype(np.uint8)
    hits, false = cumulative_counts(y, s, w)
    step_hits, step_false = (np.diff(counts, axis=1, prepend=0.0) for counts in (hits, false))
    area = (step_false * (hits - step_hits / 2)).sum(1) / hits[:, -1] / false[:, -1]
    precision = (step_hits * hits / np.maximum(hits + false, 1)).sum(1) / hits[:, -1]
    np.testing.assert_allclose(Ranking.of(y, s).areas(w), [area, precision], rtol=1e-12)


@pytest.mark.parametrize("cells", [1, 333, 1 << 25])
def test_draws_do_not_depend_on_the_block(cells):
    keys = np.repeat([f"p{k:02d}" for k in range(37)], 3)
    drawn = np.random.default_rng(4).integers(37, size=(25, 37))
    expected = np.array([[np.sum(row == code) for code in range(37)] for row in drawn])
    found = np.concatenate(list(patient_weights(keys, 25, 4, cells=cells)))
    np.testing.assert_array_equal(found, np.repeat(expected, 3, axis=1))


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_ratios_are_sums_over_recordings(monkeypatch, kind):
    monkeypatch.setattr(metrics, "_CELLS", 100)
    rng = np.random.default_rng(0)
    mask, other, number = rng.random(500) < 0.5, rng.random(500) < 0.1, rng.normal(size=500)
    w = rng.poisson(1, (7, 500)).astype(kind)
    columns = {"share": (mask & other, mask), "mean": (number, mask), "nothing": (number, np.zeros(500))}
    found = weighted_ratios(columns, w)
    for row, weight in enumerate(w.astype(float)):
        assert found["share"][row] == weight[mask & other].sum() / weight[mask].sum()
        assert found["mean"][row] == pytest.approx((weight * number).sum() / weight[mask].sum(), rel=1e-12)
    assert np.isnan(found["nothing"]).all()
    assert weighted_ratios(columns)["mean"] == pytest.approx(number.sum() / mask.sum())


@pytest.mark.parametrize("cells", [1, 1 << 24])
def test_permutation_equals_ranks_in_every_exchange(monkeypatch, cells):
    monkeypatch.setattr(permutation, "_CELLS", cells)
    rng = np.random.default_rng(1)
    keys = np.repeat(np.arange(30), rng.integers(1, 4, 30))
    y = (rng.random((len(keys), 3)) < [0.5, 0.2, 0.0]).astype(float)
    first, second = ((y + rng.normal(size=y.shape)).round(1) for _ in range(2))
    second -= 0.4 * y
    y[rng.random(y.shape) < 0.1] = np.nan

    def difference(swapped):
        areas = np.full((2, 3), np.nan)
        for k in range(2):
            known = ~np.isnan(y[:, k])
            a, b = rankdata(first[known, k]), rankdata(second[known, k])
            turn = swapped[keys][known]
            for own, scores in enumerate((np.where(turn, b, a), np.where(turn, a, b))):
                areas[own, k] = slow_areas(y[known, k], scores, np.ones(known.sum()))[0]
        return float(macro(areas[0] - areas[1]))

    observed = difference(np.zeros(30, dtype=bool))
    drawn = np.random.default_rng(9).random((60, 30)) < 0.5
    extreme = sum(abs(difference(swapped)) >= abs(observed) - 1e-12 for swapped in drawn)
    assert 0 < extreme < 60
    assert permutation_test(y, first, second, keys, 60, 9) == (extreme + 1) / 61


def test_memory_does_not_grow_with_resamples_or_labels(monkeypatch):
    """The previous implementation kept 8 bytes for each recording and resample of a block, several times."""
    monkeypatch.setattr("ecgssl.evaluation.statistics.bootstrap._CELLS", 1 << 20)
    rng = np.random.default_rng(0)
    y = (rng.random((20_000, 8)) < 0.2).astype(float)
    s = rng.normal(size=y.shape) + y
    patients = np.arange(20_000) // 2

    def peak(labels, resamples):
        tracemalloc.start()
        bootstrap(y[:, :labels], s[:, :labels], patients, resamples, 0)
        held = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        return held

    few = peak(1, 60)
    assert few < 16
    assert peak(1, 240) < few + 1
    # the order of a label takes four bytes for each recording
    assert peak(8, 60) < few + 8 * 20_000 * 8 / 2**20

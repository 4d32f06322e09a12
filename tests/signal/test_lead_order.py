"""Lead order: exchanges and copies are detected in recordings with the usual correlation between leads."""

from __future__ import annotations

import numpy as np
import pytest

from ecgssl.signal.lead_order import CHEST_PAIRS, INDEPENDENT, USUAL, WINDOWS, difference, lead_order, second_moments
from ecgssl.signal.leads import LEADS, LIMB_MATRIX


def usual(seed: int = 0, samples: int = 1000) -> np.ndarray:
    """Return (12, samples) whose eight independent leads have the usual second moments."""
    draw = np.random.default_rng(seed).standard_normal((8, samples))
    eight = np.linalg.cholesky(USUAL + 1e-6 * np.eye(8)) @ draw
    return np.concatenate([LIMB_MATRIX @ eight[:2], eight[2:]]).astype(np.float32)


def test_moments_against_a_loop() -> None:
    signal = usual(samples=1003)
    moments = second_moments(signal)
    for window in range(WINDOWS):
        part = signal[:, 200 * window : 200 * (window + 1)].astype(np.float64)
        np.testing.assert_allclose(moments[window], part @ part.T / 200, rtol=1e-4, atol=1e-6)


def test_usual_is_a_covariance_of_trace_one() -> None:
    np.testing.assert_array_equal(USUAL, USUAL.T)
    assert np.trace(USUAL) == pytest.approx(1, abs=1e-3)
    assert np.linalg.eigvalsh(USUAL).min() > 0


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ([[-1, 0], [-1, 1]], True),
        ([[1, -1], [0, -1]], True),
        ([[-1, 1], [-1, 0]], True),
        ([[0, -1], [1, -1]], True),
        ([[0, 1], [1, 0]], False),
        ([[1, 0], [0, 1]], False),
    ],
)
def test_limb_electrodes(recorded: list[list[int]], found: bool) -> None:
    signal = usual()
    signal[:6] = LIMB_MATRIX @ np.array(recorded, dtype=float) @ signal[:2]
    order = lead_order(second_moments(signal), LEADS)
    assert (order.limb_swap > 0.1) == found
    assert order.chest_swap < 0.2


@pytest.mark.parametrize("pair", CHEST_PAIRS, ids="-".join)
def test_chest_electrodes(pair: tuple[str, str]) -> None:
    signal = usual()
    rows = [LEADS.index(lead) for lead in pair]
    assert lead_order(second_moments(signal), LEADS).chest_swap < 0.2
    signal[rows] = signal[rows[::-1]]
    order = lead_order(second_moments(signal), LEADS)
    assert order.chest_swap > 0.2
    assert order.chest_pair == pair


def test_gain_against_the_distance_written_out() -> None:
    """Undo the exchange of the arm electrodes in the signal and compare the two distances for each window."""
    signal = usual(3)
    undone = signal.copy()
    undone[:2] = np.array([[-1, 0], [-1, 1]]) @ signal[:2]
    rows = [LEADS.index(lead) for lead in INDEPENDENT]
    precision = np.linalg.inv(USUAL + 0.05 / 8 * np.eye(8))

    def distances(x: np.ndarray) -> np.ndarray:
        eight = x[rows].astype(np.float64)
        return np.einsum("it,ij,jt->t", eight, precision, eight).reshape(WINDOWS, -1).mean(axis=1)

    gains = 1 - distances(undone) / distances(signal)
    assert lead_order(second_moments(signal), LEADS).limb_swap >= np.median(gains) - 1e-4
    assert lead_order(second_moments(undone), LEADS).limb_swap == pytest.approx(
        np.median(1 - distances(signal) / distances(undone)), abs=1e-3
    )


def test_an_artefact_in_one_window_decides_nothing() -> None:
    signal = usual(1)
    signal[7, 100:180] += 5
    signal[0, 100:180] -= 5
    order = lead_order(second_moments(signal), LEADS)
    assert order.limb_swap < 0.1
    assert order.chest_swap < 0.2


def test_neither_size_nor_order_of_the_rows_matters() -> None:
    signal, rows = usual(2), np.random.default_rng(0).permutation(12)
    first = lead_order(second_moments(signal), LEADS)
    again = lead_order(second_moments(7 * signal[rows]), [LEADS[i] for i in rows])
    assert again.limb_swap == pytest.approx(first.limb_swap, abs=1e-4)
    assert again.chest_swap == pytest.approx(first.chest_swap, abs=1e-4)


def test_where_a_lead_is_missing_or_all_is_silent_nothing_is_said() -> None:
    moments = second_moments(usual())
    for order in (
        lead_order(moments, ["" if lead == "V3" else lead for lead in LEADS]),
        lead_order(np.zeros_like(moments), LEADS),
    ):
        assert np.isnan(order.limb_swap)
        assert np.isnan(order.chest_swap)


def test_difference_against_a_loop() -> None:
    signal = usual(4)[:, :1000]
    signal[10] = signal[9] + 0.001
    found = difference(second_moments(signal), LEADS)
    assert found[[9, 10]] == pytest.approx(0.004, abs=0.003)
    for i in range(12):
        others = [j for j in range(12) if j != i and not (i < 6 and j < 6)]
        expected = min(
            np.sqrt(np.mean((signal[i] - signal[j]) ** 2) / max(np.mean(signal[i] ** 2), np.mean(signal[j] ** 2)))
            for j in others
        )
        assert found[i] == pytest.approx(expected, abs=0.003)


def test_difference_of_leads_that_are_alone_or_unnamed() -> None:
    signal = usual(5)
    found = difference(second_moments(signal), ["", *LEADS[1:]])
    assert np.isnan(found[0])
    assert np.isnan(difference(second_moments(signal[:2]), LEADS[:2])).all()

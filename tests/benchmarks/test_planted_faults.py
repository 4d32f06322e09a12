"""Simulated faults change only the intended leads by the intended amount."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from planted_faults import FAULTS, Fault

from ecgssl.config import ReasonCode
from ecgssl.datasets.synthetic.simulate import render
from ecgssl.datasets.synthetic.synthetic_patients import draw_episode, draw_patient
from ecgssl.signal.leads import LEADS, limb_residual

RATE = 500.0
OF_ELECTRODES = {"white noise", "muscle, 3 s", "mains 50 Hz", "mains 60 Hz", "baseline wander", "limb electrodes"}


@pytest.fixture(scope="module")
def heart() -> np.ndarray:
    rng = np.random.default_rng(0)
    return render(draw_episode(draw_patient(rng), rng), RATE, 10.0, rng)[0]


def planted(fault: Fault, heart: np.ndarray, seed: int = 0) -> tuple[np.ndarray, tuple[str, ...]]:
    return fault.plant(heart, RATE, np.random.default_rng(seed))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.group}, {fault.name}")
def test_a_fault_changes_the_leads_it_names(fault: Fault, heart: np.ndarray) -> None:
    before = heart.copy()
    signal, leads = planted(fault, heart)
    np.testing.assert_array_equal(heart, before)
    assert (signal.shape, signal.dtype) == (heart.shape, np.float32)
    changed = {lead for lead, a, b in zip(LEADS, signal, heart, strict=True) if not np.array_equal(a, b)}
    assert changed
    # for a lead and its copy, only the copy changes
    assert not leads or changed <= set(leads)
    assert set(fault.codes) <= set(get_args(ReasonCode))
    if fault.group in OF_ELECTRODES:
        assert limb_residual(signal) < 1e-3
    np.testing.assert_array_equal(planted(fault, heart)[0], signal)


def test_sizes_are_those_of_the_names(heart: np.ndarray) -> None:
    faults = {(fault.group, fault.name): fault for fault in FAULTS}
    for decibels in (18, 0):
        noise = planted(faults["white noise", f"{decibels} dB"], heart)[0] - heart
        expected = np.median(heart.std(axis=1)) / 10 ** (decibels / 20)
        assert noise[:3].std() == pytest.approx(expected, rel=0.05)
    hum, (lead,) = planted(faults["mains 60 Hz", "50 uV"], heart)
    row = LEADS.index(lead)
    assert np.abs(hum[row] - heart[row]).max() == pytest.approx(0.05, abs=0.001)
    wander, (lead,) = planted(faults["baseline wander", "4 mV"], heart)
    row = LEADS.index(lead)
    assert np.ptp(wander[row] - heart[row]) == pytest.approx(4, rel=0.02)
    still, (lead,) = planted(faults["flat lead", "2 s"], heart)
    assert np.count_nonzero(still[LEADS.index(lead)] == 0) >= 2 * RATE
    gap, (lead,) = planted(faults["NaN", "one sample"], heart)
    assert np.isnan(gap[LEADS.index(lead)]).sum() == np.isnan(gap).sum() == 1


def test_exchanging_twice_is_not_exchanging(heart: np.ndarray) -> None:
    for fault in FAULTS:
        if fault.group in ("limb electrodes", "chest electrodes") and fault.name != "all three":
            once = planted(fault, heart)[0]
            np.testing.assert_allclose(planted(fault, once)[0], heart, atol=2e-6)

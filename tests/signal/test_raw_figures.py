"""Figures of the raw signal compared with loops over samples and with simulated signals."""

from __future__ import annotations

import numpy as np
import pytest
from held_samples import held_share
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.signal.raw_figures import bridge, raw_figures


@settings(max_examples=200, deadline=None)
@given(
    levels=st.lists(st.integers(-3, 3), min_size=1, max_size=80),
    others=st.lists(st.integers(-1, 1), min_size=1, max_size=80),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
)
def test_rails_against_a_loop(levels: list[int], others: list[int], offset: float) -> None:
    size = min(len(levels), len(others))
    signal = np.array([levels[:size], others[:size]], dtype=np.float32) + np.float32(offset)
    np.testing.assert_allclose(raw_figures(signal, 100.0).railed, [held_share(row) for row in signal], atol=1e-6)


@pytest.mark.parametrize("rate", [100.0, 257.0, 500.0, 1000.0])
def test_figures_of_a_known_signal(rate: float) -> None:
    """Lead 1 is a sine on a ramp of 3 mV in ten seconds; lead 2 is a sine with a constant segment of three seconds."""
    time = np.arange(round(10 * rate)) / rate
    signal = np.stack([0.3 * time + 0.5 * np.sin(2 * np.pi * 1.0 * time), np.sin(2 * np.pi * 5 * time)])
    signal[1, (time >= 4) & (time < 7)] = 0.25
    found = raw_figures(signal.astype(np.float32), rate)
    np.testing.assert_allclose(found.deviation, signal.std(axis=1), rtol=1e-4)
    assert found.wander[0] == pytest.approx(2.7, abs=0.05)
    spans = [np.ptp(part) for part in np.array_split(signal[0], 5)]
    assert found.span[0] == pytest.approx(np.median(spans), abs=0.02)
    assert found.silence[0] == 0
    assert 2.5 <= found.silence[1] <= 3.0


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("hertz", [50.0, 60.0])
def test_hum_is_measured_whatever_its_phase_and_a_tenth_of_a_hertz_off(rate: float, hertz: float) -> None:
    time = np.arange(round(10 * rate)) / rate
    hum = np.stack([0.04 * np.sin(2 * np.pi * (hertz + off) * time + off) for off in (-0.1, 0.0, 0.1, 1.3)])
    slow = np.stack([np.sin(2 * np.pi * 1.2 * time), 5 * time, 300 + time**2 / 10, np.zeros(time.size)])
    np.testing.assert_allclose(raw_figures((hum + slow).astype(np.float32), rate).mains[:3], 0.04, rtol=0.05)
    assert (raw_figures(slow.astype(np.float32), rate).mains < 0.003).all()


def test_no_hum_where_the_rate_cannot_carry_it() -> None:
    signal = np.random.default_rng(0).standard_normal((12, 1000)).astype(np.float32)
    assert np.isnan(raw_figures(signal, 100.0).mains).all()
    assert np.isfinite(raw_figures(signal, 120.0).mains).all()


def test_an_electrode_offset_of_300_mv_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    signal = np.round(0.3 * rng.standard_normal((12, 5000)), 3).astype(np.float32)
    near, far = raw_figures(signal, 500.0), raw_figures(signal + np.float32(300), 500.0)
    for name in ("deviation", "span", "wander", "mains"):
        np.testing.assert_allclose(getattr(far, name), getattr(near, name), rtol=0.02, atol=1e-4)


def test_stubs_end_in_numbers() -> None:
    for samples in (1, 2, 19, 20, 21, 399):
        found = raw_figures(np.zeros((3, samples), dtype=np.float32), 100.0)
        assert found.deviation.tolist() == [0.0] * 3
        assert np.isfinite(found.wander).all() == (samples >= 200)


def test_bridges_are_straight() -> None:
    raw = np.arange(20, dtype=np.float32).reshape(2, 10)
    gap = raw.copy()
    gap[0, [0, 4, 5]] = np.nan
    gap[1] = np.inf
    bridged = bridge(gap, np.isfinite(gap))
    np.testing.assert_array_equal(bridged[0, 1:], raw[0, 1:])
    assert bridged[0, 0] == raw[0, 1]
    assert not bridged[1].any()
    assert bridge(raw, np.isfinite(raw)) is raw

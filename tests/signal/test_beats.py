"""Beat detection in one lead and noise between beats, compared with slow formulas and known noise."""

from __future__ import annotations

import numpy as np
import pytest
from heartbeats import heartbeats

from ecgssl.signal.beats import beat_lead, high_frequency, template_match

LEADS = ("I", "II", "V1", "V6")


def quiet(rate: float) -> np.ndarray:
    """Return (12, 10 s) of Gaussian P, QRS and T waves, up to 3 mV high, without noise."""
    phase = (np.arange(round(10 * rate)) / rate + 0.5) % 0.8 - 0.4
    wave = sum(
        a * np.exp(-0.5 * ((phase - m) / s) ** 2) for a, m, s in ((0.1, -0.17, 0.03), (1, 0, 0.011), (0.3, 0.25, 0.05))
    )
    return np.outer(np.linspace(-1, 3, 12), wave)


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0])
@pytest.mark.parametrize("size", [0.02, 0.05])
def test_noise_is_that_of_the_worst_second_and_beats_are_none(rate: float, size: float) -> None:
    signal = quiet(rate)
    beats_alone, _ = high_frequency(signal.astype(np.float32), rate)
    assert (beats_alone < 0.005).all()
    second = slice(round(4 * rate), round(5 * rate))
    signal[:, second] += size * np.random.default_rng(0).standard_normal((12, round(rate)))
    noise, _ = high_frequency(signal.astype(np.float32), rate)
    # the quietest quarter of the segments has a slightly smaller deviation
    np.testing.assert_allclose(noise, 0.8 * size, rtol=0.5)
    assert noise.mean() == pytest.approx(0.8 * size, rel=0.2)


def test_noise_takes_the_sharpness() -> None:
    signal = heartbeats(1, 10.0, 100.0)[0]
    rng = np.random.default_rng(0)
    sharpness = [
        high_frequency((signal + sd * rng.standard_normal(signal.shape)).astype(np.float32), 100.0)[1].mean()
        for sd in (0.0, 0.05, 0.2)
    ]
    assert sharpness[0] > sharpness[1] > sharpness[2]


def test_silence_and_stubs_give_zeros_not_warnings() -> None:
    for samples in (1, 3, 60, 1000):
        noise, sharpness = high_frequency(np.zeros((12, samples), dtype=np.float32), 100.0)
        assert noise.tolist() == sharpness.tolist() == [0.0] * 12


def test_the_lead_for_beats() -> None:
    usable = np.ones(4, dtype=bool)
    noise = np.array([0.001, 0.001, 0.001, 0.001])
    sharp = np.array([10.0, 20.0, 90.0, 30.0])
    assert beat_lead(LEADS, usable, noise, sharp, 0.02) == "V6"
    assert beat_lead(LEADS, usable, np.array([0, 0, 0, 0.03]), sharp, 0.02) == "II"
    assert beat_lead(LEADS, np.array([False, False, True, False]), noise, sharp, 0.02) == "V1"
    assert beat_lead(LEADS, usable, noise + 1, sharp, 0.02) == "V6"
    assert beat_lead(LEADS, ~usable, noise, sharp, 0.02) is None


def test_template_match_against_corrcoef() -> None:
    lead = heartbeats(1, 10.0, 100.0, seed=3)[0, 1] + 0.3 * heartbeats(1, 10.0, 100.0, seed=9)[0, 7]
    peaks = np.arange(10, 1000, 80)
    beats = np.array([lead[p - 25 : p + 41] for p in peaks if p >= 25 and p + 41 <= lead.size], dtype=np.float64)
    expected = [np.corrcoef(beats[i], np.delete(beats, i, axis=0).mean(axis=0))[0, 1] for i in range(len(beats))]
    assert template_match(lead, peaks, 100.0) == pytest.approx(np.mean(expected), abs=1e-9)
    assert np.isnan(template_match(lead, peaks[:1], 100.0))
    assert np.isnan(template_match(np.zeros(1000, dtype=np.float32), peaks, 100.0))

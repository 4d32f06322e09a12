"""Vectorcardiogram model compared with closed forms, a direct sum, and properties of a normal ECG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.datasets.synthetic.electrode_noise import ELECTRODES_TO_LEADS, Noise, electrode_noise
from ecgssl.datasets.synthetic.heart_rhythm import fibrillation_rhythm, sinus_rhythm, with_ectopy
from ecgssl.datasets.synthetic.vectorcardiogram import (
    DOWER,
    INDEPENDENT_LEADS,
    WAVES,
    Heart,
    Waves,
    conducted_beat,
    dipole,
    ectopic_beat,
    torso,
    twelve_leads,
)
from ecgssl.signal.leads import LEADS

FS = 1000.0
R_PEAK = 1.0


def one_beat(heart: Heart | Waves, rr: float = 1.0) -> np.ndarray:
    """Return the (3, 2000) dipole at 1 kHz of a beat with the R peak at 1 s."""
    waves = heart if isinstance(heart, Waves) else conducted_beat(heart)
    return dipole([(waves, np.array([R_PEAK]), np.array([rr]), np.ones(1))], FS, 2000)


def lead(name: str, source: np.ndarray) -> np.ndarray:
    return twelve_leads(DOWER @ source)[LEADS.index(name)]


def qrs_duration(source: np.ndarray) -> float:
    """Return the seconds around the R peak in which the dipole changes faster than 5 mV/s."""
    speed = np.linalg.norm(np.gradient(source, 1 / FS, axis=1), axis=0)
    fast = np.flatnonzero(speed[910:1200] > 5)
    return (fast[-1] - fast[0]) / FS


def test_windowed_sum_equals_the_sum_over_all_samples() -> None:
    rng = np.random.default_rng(0)
    waves = conducted_beat(Heart(qrs=0.14, block="left", st=(0.1, 0.1, 0.0)))
    times, rr, gain = np.array([-0.2, 0.6, 1.5, 2.9]), rng.uniform(0.5, 1.2, 4), rng.uniform(0.9, 1.1, 4)
    t = np.arange(1500) / 500
    slow = np.zeros((3, 1500))
    for b in range(4):
        for k in range(WAVES):
            root = rr[b] ** (1 / 3)
            centre = times[b] + waves.centre[k] + waves.stretch[k] * root
            width = waves.width[k] * (root if waves.stretch[k] > 0 else 1)
            slow += gain[b] * np.outer(waves.vector[k], np.exp(-0.5 * ((t - centre) / width) ** 2))
    np.testing.assert_allclose(dipole([(waves, times, rr, gain)], 500.0, 1500), slow, atol=2e-4)


def test_normal_beat_reads_as_a_clinician_expects() -> None:
    source = one_beat(Heart())
    qrs = slice(940, 1070)
    peak = {name: lead(name, source)[qrs].max() for name in LEADS}
    trough = {name: lead(name, source)[qrs].min() for name in LEADS}
    assert peak["V1"] < -trough["V1"], "rS in V1"
    assert peak["V6"] > -5 * trough["V6"], "R in V6"
    assert np.argmin(lead("V6", source)[940:990]) < np.argmax(lead("V6", source)[940:1000]), "the q comes before the R"
    assert lead("V6", source)[940:990].min() < -0.03
    progression = [peak[v] / (peak[v] - trough[v]) for v in ("V1", "V2", "V3", "V4", "V5", "V6")]
    assert np.all(np.diff(progression) > 0), "R-wave progression"
    assert -trough["aVR"] > 3 * peak["aVR"]
    assert abs(lead("II", source).argmax() / FS - R_PEAK) < 0.012
    for name in ("I", "II", "V3", "V4", "V5", "V6"):
        assert lead(name, source)[1200:1400].max() > 0.05, f"upright T in {name}"
    assert lead("II", source)[750:900].max() > 0.08, "upright P in II"
    assert lead("aVR", source)[750:900].min() < -0.05


def test_intervals_measured_on_the_wave_meet_the_parameters() -> None:
    for pr in (0.14, 0.2, 0.28):
        p = np.linalg.norm(one_beat(Heart(pr=pr)) - one_beat(Heart(pr=pr, p_wave=0)), axis=0)
        onset = np.flatnonzero(p > 0.08 * p.max())[0] / FS
        # the QRS complex begins 0.42 of its 90 ms before the R peak
        assert R_PEAK - 0.42 * 0.09 - onset == pytest.approx(pr, abs=0.012)
    for rr in (0.5, 1.0, 1.4):
        t_wave = np.linalg.norm(one_beat(Heart(), rr) - one_beat(Heart(t_height=0), rr), axis=0)
        t_end = np.flatnonzero(t_wave > 0.08 * t_wave.max())[-1] / FS
        qt = t_end - (R_PEAK - 0.42 * 0.09)
        assert qt / rr ** (1 / 3) == pytest.approx(0.41, abs=0.02)


@pytest.mark.parametrize("block", ["left", "right"])
def test_speed_of_the_dipole_shows_a_wider_qrs(block: str) -> None:
    widths = [qrs_duration(one_beat(Heart(qrs=q, block=block))) for q in (0.09, 0.11, 0.125, 0.14, 0.16)]
    assert np.all(np.diff(widths) > 0)
    assert widths[0] < 0.1
    assert widths[2:] == pytest.approx([0.125, 0.14, 0.16], abs=0.03)


def test_bundle_branch_blocks_have_their_shapes() -> None:
    left, right = one_beat(Heart(qrs=0.15, block="left")), one_beat(Heart(qrs=0.15, block="right"))
    assert lead("V6", left)[930:980].min() > -0.02, "no septal q in left block"
    assert lead("V1", left).min() < -1
    assert lead("V6", left)[1200:1400].min() < -0.1, "discordant T in left block"
    assert lead("V1", right)[1040:1120].max() > 0.4, "late R' in right block"
    assert lead("V6", right)[1040:1120].min() < -0.3, "slurred S in right block"


def test_st_and_t_follow_their_parameters() -> None:
    raised = one_beat(Heart(st=(0.0, 0.2, 0.0))) - one_beat(Heart())
    level = raised[1, round(1000 * (1 + 0.58 * 0.09 + 0.06))]
    assert level == pytest.approx(0.2, rel=0.2)
    heart = Heart(t_polarity=-0.8)
    direction = np.asarray(heart.t_direction)
    upright, inverted = direction @ one_beat(Heart()), direction @ one_beat(heart)
    assert upright[1200:1400].max() > 0.2
    assert inverted[1200:1400].min() < -0.15
    assert inverted[1200:1400].max() < 0.02


def test_voltage_raises_sokolow_lyon() -> None:
    index = []
    for voltage in (0.8, 1.0, 1.4, 1.8):
        source = one_beat(Heart(voltage=voltage))
        index.append(max(lead("V5", source).max(), lead("V6", source).max()) - lead("V1", source).min())
    assert np.all(np.diff(index) > 0)
    assert index[1] < 3.5 < index[3]


def test_ectopic_beat_is_wide_without_p_and_discordant() -> None:
    main = np.array([0.2, 0.95, 0.25]) / np.linalg.norm([0.2, 0.95, 0.25])
    source = one_beat(ectopic_beat(main, 0.15, 1.8))
    along = main @ source
    assert np.abs(source[:, :900]).max() < 0.02
    assert along.max() == pytest.approx(1.8, rel=0.25)
    assert along[1200:1450].min() < -0.3
    assert qrs_duration(source) > 0.12


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(30, 190),
    qrs=st.floats(0.07, 0.18),
    pr=st.floats(0.1, 0.32),
    qtc=st.floats(0.34, 0.52),
    voltage=st.floats(0.6, 2.2),
    block=st.sampled_from([None, "left", "right"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_heart_gives_a_finite_plausible_signal_that_keeps_the_laws(
    rate: float, qrs: float, pr: float, qtc: float, voltage: float, block: str | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rhythm = sinus_rhythm(rate, 0.25, 0.05, 0.01, 10.0, rng)
    assert rhythm.times[0] < 0
    assert rhythm.times[-1] > 10
    shape = np.clip(0.13 * rng.standard_normal((WAVES, 3)), -0.5, 0.5)
    heart = Heart(qrs=qrs, pr=pr, qtc=qtc, voltage=voltage, block=block, shape=shape)
    beats = [(conducted_beat(heart), rhythm.times, rhythm.repolarisation_rr, np.ones(len(rhythm.times)))]
    independent = torso(rng) @ dipole(beats, 500.0, 5000)
    independent += ELECTRODES_TO_LEADS @ electrode_noise(Noise(muscle=0.03), 500.0, 5000, rng)
    signal = twelve_leads(independent.astype(np.float32))
    assert signal.dtype == np.float32
    assert np.isfinite(signal).all()
    assert np.ptp(signal, axis=1).max() > 0.1
    assert np.abs(signal).max() < 8
    one, two, three, avr, avl, avf = signal[:6]
    np.testing.assert_array_equal(three, two - one)
    np.testing.assert_array_equal(avr, -(one + two) / 2)
    np.testing.assert_array_equal(avl, one - two / 2)
    np.testing.assert_array_equal(avf, two - one / 2)
    np.testing.assert_array_equal(signal[6:], independent.astype(np.float32)[2:])


def test_chest_leads_are_against_wilsons_terminal() -> None:
    potentials = np.random.default_rng(0).standard_normal((9, 7))
    ra, la, ll = potentials[:3]
    leads = ELECTRODES_TO_LEADS @ potentials
    np.testing.assert_allclose(leads[0], la - ra)
    np.testing.assert_allclose(leads[1], ll - ra)
    np.testing.assert_allclose(leads[2:], potentials[3:] - (ra + la + ll) / 3)
    assert len(INDEPENDENT_LEADS) == len(leads)


def test_noise_has_the_deviations_asked_for() -> None:
    rng = np.random.default_rng(1)
    for field in ("white", "pink", "wander"):
        quiet = Noise(white=0, pink=0, wander=0, mains=0)
        found = electrode_noise(replace(quiet, **{field: 0.05}), 500.0, 5000, rng)
        assert np.sqrt(np.mean(found**2)) == pytest.approx(0.05, rel=0.3 if field == "wander" else 0.15)
    wander = electrode_noise(Noise(white=0, pink=0, wander=0.1, mains=0), 500.0, 5000, rng)
    power = np.abs(np.fft.rfft(wander)) ** 2
    assert power[:, : 10 + 1].sum() > 0.95 * power.sum(), "wander lies below 1 Hz"
    mains = electrode_noise(Noise(white=0, pink=0, wander=0, mains=0.01, mains_frequency=60), 500.0, 5000, rng)
    assert np.all(np.abs(np.fft.rfft(mains)).argmax(axis=1) == 600)


def test_rhythms() -> None:
    rng = np.random.default_rng(2)
    sinus = sinus_rhythm(70, 0.25, 0.04, 0.01, 10.0, rng)
    assert 60 / sinus.rr.mean() == pytest.approx(70)
    fibrillating = fibrillation_rhythm(90, 0.25, 60.0, rng)
    assert fibrillating.rr.std() / fibrillating.rr.mean() > 3 * sinus.rr.std() / sinus.rr.mean()
    ectopic = with_ectopy(sinus, 3, 10.0, rng)
    at = np.flatnonzero(ectopic.ectopic)
    assert len(at) == 3
    for i in at:
        before, after = np.diff(ectopic.times[i - 1 : i + 2])
        assert before < 0.75 * sinus.rr.mean()
        assert before + after == pytest.approx(2 * sinus.rr.mean(), rel=0.1), "the pause compensates"

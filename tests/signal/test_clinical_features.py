"""Clinical features: known beat times, amplitudes, axes and intervals, formulas, absent leads and real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgssl.datasets.synthetic.simulate import render
from ecgssl.datasets.synthetic.synthetic_patients import draw_episode, draw_patient
from ecgssl.signal.cleaning import clean
from ecgssl.signal.clinical_features import FEATURES, NAMES, clinical_features
from ecgssl.signal.leads import LEADS, LIMB_MATRIX
from ecgssl.signal.qrs_detection import find_beats
from ecgssl.signal.r_peaks import r_peaks
from ecgssl.signal.rhythm_features import rhythm_features
from ecgssl.signal.spec import SignalSpec

ALL = np.ones(12, dtype=bool)


def measured(
    signal: np.ndarray, rate: float = 100.0, mask: np.ndarray = ALL, recorded: int | None = None
) -> dict[str, float]:
    """Return the features of a 12-lead signal by name."""
    return dict(zip(NAMES, clinical_features(signal, rate, LEADS, mask, recorded).tolist(), strict=True))


def drawn_beats(
    axis: float, rate: float = 100.0, t_axis: float = 40.0, rr: float = 0.8, seconds: float = 10.0
) -> np.ndarray:
    """Return (12, samples) of beats without noise: R waves of 1 mV along a frontal axis in degrees, and T waves of 0.3 mV.

    Chest leads have an R wave of 1 mV in V1 to V6 times 0.2, 0.4, 0.8, 1, 1.2 and 1, and an S wave of 1.5 mV times 1, 1.2,
    0.6, 0.3, 0 and 0.
    """
    time = np.arange(round(seconds * rate)) / rate
    phase = (time - 0.5 + rr / 2) % rr - rr / 2

    def wave(centre: float, width: float) -> np.ndarray:
        return np.exp(-0.5 * ((phase - centre) / width) ** 2)

    def limb(angle: float) -> np.ndarray:
        # lead II points to +60 degrees; the other limb leads follow from I and II
        return LIMB_MATRIX @ np.cos(np.radians(np.array([angle, angle - 60.0])))

    r, s = np.array([0.2, 0.4, 0.8, 1.0, 1.2, 1.0]), 1.5 * np.array([1.0, 1.2, 0.6, 0.3, 0.0, 0.0])
    chest = np.outer(r, wave(0, 0.012)) - np.outer(s, wave(0.04, 0.012)) + np.outer(0.3 * np.ones(6), wave(0.3, 0.04))
    return np.concatenate([np.outer(limb(axis), wave(0, 0.012)) + 0.3 * np.outer(limb(t_axis), wave(0.3, 0.04)), chest])


@pytest.fixture(scope="module")
def simulated() -> list[tuple]:
    """Return simulated recordings of 10 s with noise: episode, cleaned signal, beat times, number of ectopic beats."""
    found = []
    for seed in range(45):
        rng = np.random.default_rng(seed)
        episode = draw_episode(draw_patient(rng), rng)
        signal, times, ectopic = render(episode, 100.0, 10.0, rng)
        found.append((episode, clean(signal, 100.0, SignalSpec()), times[(times > 0.1) & (times < 9.9)], ectopic))
    return found


@pytest.fixture(scope="module")
def simulated_features(simulated) -> list[tuple]:
    """Return episode, features and number of ectopic beats of the simulated recordings."""
    return [(episode, measured(signal), ectopic) for episode, signal, _, ectopic in simulated]


def test_features_have_units_and_sources():
    assert len(set(NAMES)) == len(NAMES) == len(FEATURES)
    assert all(feature.unit and feature.meaning and feature.source for feature in FEATURES)


@pytest.mark.parametrize("axis", [-150.0, -60.0, 0.0, 45.0, 90.0, 135.0])
def test_axis_and_amplitudes_are_those_of_the_dipole(axis):
    found = measured(drawn_beats(axis))
    assert abs((found["qrs_axis"] - axis + 180) % 360 - 180) < 2
    assert abs(found["t_axis"] - 40.0) < 3
    assert found["qrs_t_angle"] == pytest.approx(abs((axis - 40 + 180) % 360 - 180), abs=4)
    assert found["heart_rate"] == pytest.approx(75, abs=0.3)
    for lead, height in (("I", np.cos(np.radians(axis))), ("II", np.cos(np.radians(axis - 60)))):
        assert found[f"r_{lead}"] == pytest.approx(max(height, 0), abs=0.03)
        assert found[f"s_{lead}"] == pytest.approx(max(-height, 0), abs=0.03)
    assert found["t_V5"] == pytest.approx(0.3, abs=0.02)
    assert found["r_V5"] == pytest.approx(1.2, abs=0.03)


def test_voltages_add_the_amplitudes_of_their_leads():
    found = measured(drawn_beats(-40.0))
    assert found["s_V1"] == pytest.approx(1.5, abs=0.05)
    assert found["sokolow_lyon"] == pytest.approx(found["s_V1"] + found["r_V5"], abs=1e-5)
    assert found["cornell"] == pytest.approx(found["r_aVL"] + found["s_V3"], abs=1e-5)
    assert found["r_aVL"] == pytest.approx(np.cos(np.radians(-40 + 30)) * np.sqrt(3) / 2, abs=0.03)


def test_a_raised_st_segment_is_measured():
    signal = drawn_beats(30.0)
    phase = (np.arange(1000) / 100 - 0.5 + 0.4) % 0.8 - 0.4
    signal[7] += 0.2 / (1 + np.exp(-(phase - 0.04) / 0.006)) / (1 + np.exp((phase - 0.3) / 0.02))
    found = measured(signal)
    assert found["st_V2"] - found["st_V5"] == pytest.approx(0.2, abs=0.04)
    assert abs(found["st_I"]) < 0.04


def test_rr_figures_are_those_of_the_formulas():
    rr = np.array([0.8, 0.82, 0.5, 1.1, 0.8, 0.78])
    found = rhythm_features(np.cumsum([0.3, *rr]), np.array([1, 1, 1, 0.2, 1, 1, 1]), 10.0)
    steps = np.diff(rr)
    assert found["heart_rate"] == pytest.approx(75.0)
    assert found["rr_sd"] == pytest.approx(1000 * np.std(rr, ddof=1))
    assert found["rr_rmssd"] == pytest.approx(1000 * np.sqrt(np.mean(steps**2)))
    assert found["rr_rmssd_relative"] == pytest.approx(found["rr_rmssd"] / 800)
    assert found["rr_pnn50"] == pytest.approx(3 / 5)
    assert found["rr_median_step"] == pytest.approx(0.3 / 0.8)
    # bins of 1/16: 0.8 (three intervals within half a bin), 0.5, 1.1; 0.82 is also in the bin of 0.8
    assert found["rr_entropy"] == pytest.approx(-(4 / 6 * np.log2(4 / 6) + 2 / 6 * np.log2(1 / 6)))
    assert (found["premature_beats"], found["premature_unlike_beats"]) == (1, 1)
    assert found["unlike_beats"] == pytest.approx(1 / 7)


def test_few_beats_leave_features_undefined():
    assert rhythm_features(np.array([1.0]), np.ones(1), 10.0) == {}
    assert set(rhythm_features(np.array([1.0, 2.0]), np.ones(2), 10.0)) == {"heart_rate", "rr_mean", "unlike_beats"}
    assert "rr_rmssd" not in rhythm_features(np.array([1.0, 2.0, 3.0]), np.ones(3), 10.0)


def test_simulated_beats_are_found(simulated):
    """At least 99.5 % of the beats are found, with as few false ones, also with ectopic beats, fibrillation and noise."""
    missed = false = total = 0
    for _, signal, times, _ in simulated:
        found = find_beats(signal, 100.0).times
        inside = found[(found > 0.25) & (found < 9.75)]
        wanted = times[(times > 0.25) & (times < 9.75)]
        # the reference point of a complex is not the R peak, and differs for ectopic beats
        missed += int((np.abs(found[:, None] - wanted).min(axis=0) > 0.09).sum())
        false += int((np.abs(inside[:, None] - times).min(axis=1) > 0.09).sum())
        total += len(wanted)
    assert missed + false < 0.005 * total


def test_irregular_rhythm_separates_fibrillation(simulated_features):
    chosen = [(e.fibrillation, found) for e, found, ectopic in simulated_features if not ectopic]
    af = np.array([fibrillation for fibrillation, _ in chosen])
    assert af.sum() >= 4
    for name, sign in (("rr_cv", 1), ("rr_rmssd_relative", 1), ("rr_entropy", 1), ("p_consistency", -1)):
        values = sign * np.array([found[name] for _, found in chosen])
        assert np.mean(values[af][:, None] > values[~af]) > 0.97, name


def test_intervals_follow_the_simulated_ones(simulated_features):
    sinus = [(e, found) for e, found, ectopic in simulated_features if not e.fibrillation and not ectopic]
    for name, truth, error in (("qrs_duration", "qrs", 15), ("pr", "pr", 25), ("qtc", "qtc", 30)):
        pairs = np.array([(found[name], 1000 * getattr(e.heart, truth)) for e, found in sinus])
        pairs = pairs[~np.isnan(pairs).any(axis=1)]
        assert len(pairs) > 0.8 * len(sinus), name
        assert np.median(np.abs(pairs[:, 0] - pairs[:, 1])) < error, name
        if name != "qtc":  # the simulated QTc hardly varies
            assert np.corrcoef(pairs.T)[0, 1] > 0.8, name


def test_the_sampling_rate_changes_little():
    fine, coarse = (measured(drawn_beats(30.0, rate), rate) for rate in (500.0, 100.0))
    for name in NAMES:
        if not name.startswith(("p_", "pr", "rr_entropy")) and not np.isnan(fine[name]):
            tolerance = {"ms": 6.0, "degree": 2.0}.get(next(f.unit for f in FEATURES if f.name == name), 0.05)
            assert coarse[name] == pytest.approx(fine[name], abs=tolerance), name


def test_absent_leads_leave_only_their_features_undefined():
    signal = drawn_beats(30.0)
    mask = np.array([lead in ("I", "II", "V2") for lead in LEADS])
    full, found = measured(signal), measured(np.where(mask[:, None], signal, 0), mask=mask)
    undefined = {name for name, value in found.items() if np.isnan(value) and not np.isnan(full[name])}
    absent = {
        f"{wave}_{lead}" for wave in ("q", "r", "s", "st", "t") for lead in LEADS if lead not in ("I", "II", "V2")
    }
    axes = {name for name in NAMES if "axis" in name or name == "qrs_t_angle"}
    assert undefined == absent | axes | {"sokolow_lyon", "cornell", "p_V1"}
    assert found["r_II"] == pytest.approx(full["r_II"], abs=0.02)


def test_values_of_absent_leads_and_of_unrecorded_samples_are_not_used():
    signal = drawn_beats(30.0)
    mask = ALL.copy()
    mask[8] = False
    changed = signal.copy()
    changed[8] = 1e3
    np.testing.assert_equal(measured(changed, mask=mask), measured(signal, mask=mask))
    cut = signal.copy()
    cut[:, 600:] = np.nan
    np.testing.assert_equal(measured(cut, recorded=600), measured(signal[:, :600]))


@pytest.mark.filterwarnings("error")
def test_no_features_without_beats():
    rng = np.random.default_rng(0)
    for signal in (np.zeros((12, 1000)), np.ones((12, 50)), np.zeros((12, 3)), np.zeros((12, 0))):
        assert all(np.isnan(value) for value in measured(signal).values())
    assert all(np.isnan(value) for value in measured(np.zeros((12, 1000)), mask=~ALL).values())
    # noise has peaks, but no QRS complex that repeats
    assert np.isnan(measured(0.02 * rng.standard_normal((12, 1000)))["qrs_axis"])
    for samples in range(100, 250, 50):
        assert np.isnan(measured(drawn_beats(30.0)[:, :samples])["rr_rmssd"])


@pytest.mark.real
def test_beats_are_those_of_neurokit2(real_data: Path) -> None:
    """The median RR interval agrees with that of neurokit2 in lead II, V2 or V5."""
    files = sorted((real_data / "ptbxl_500/records500").rglob("*.hea"))[:20]
    far = []
    for path in files:
        record = wfdb.rdrecord(path.with_suffix(""))
        cleaned = clean(record.p_signal.T.astype(np.float32), record.fs, SignalSpec())
        usual = np.median(np.diff(find_beats(cleaned, 100.0).times))
        others = [np.median(np.diff(r_peaks(cleaned[lead], 100.0))) / 100 for lead in (1, 7, 10)]
        far.append(min(abs(usual - other) for other in others))
    assert np.mean(np.array(far) < 0.02) >= 0.95

"""R-peaks are those of neurokit2, sample by sample."""

from __future__ import annotations

import warnings
from pathlib import Path

import neurokit2
import numpy as np
import pytest
import wfdb
from deploy_models import beats
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.signal.cleaning import clean
from ecgssl.signal.r_peaks import r_peaks
from ecgssl.signal.spec import SignalSpec

RATES = (1.0, 4.0, 6.0, 50.0, 100.0, 128.0, 257.5, 500.0)


def reference(lead: np.ndarray, rate: float) -> np.ndarray:
    """Return the peaks of neurokit2; none if it raises an error, as it does for a short lead."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(neurokit2.ecg_findpeaks(lead, sampling_rate=rate, method="neurokit")["ECG_R_Peaks"], int)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return np.zeros(0, int)


def drawn(seed: int, kind: str, samples: int) -> np.ndarray:
    """Return a signal of a kind: noise, a random walk, whole numbers, plateaus, or impulses of equal height."""
    generator = np.random.default_rng(seed)
    if kind == "walk":
        return np.cumsum(generator.normal(size=samples))
    if kind == "whole":
        return np.round(3 * generator.normal(size=samples))
    if kind == "plateaus":
        return np.repeat(generator.normal(size=samples // 7 + 1), 7)[:samples]
    if kind == "impulses":
        signal = np.zeros(samples)
        signal[:: max(1, samples // 9)] = generator.integers(0, 3)
        return signal
    return generator.normal(size=samples)


@pytest.mark.filterwarnings("error")
@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["noise", "walk", "whole", "plateaus", "impulses"]),
    st.sampled_from([0, 1, 2, 3, 10, 74, 75, 76, 300, 1000, 2500]),
    st.sampled_from(RATES),
    st.sampled_from([np.float32, np.float64]),
)
def test_peaks_of_arbitrary_signals(seed, kind, samples, rate, dtype):
    lead = drawn(seed, kind, samples).astype(dtype)
    found = r_peaks(lead, rate)
    np.testing.assert_array_equal(found, reference(lead, rate))
    assert found.dtype == np.intp


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0])
def test_peaks_of_simulated_recordings(rate):
    count = 0
    for seed in range(5):
        cleaned = clean((beats(seed, 500) / 1000).astype(np.float32), 500.0, SignalSpec(sampling_rate=rate))
        for lead in cleaned:
            expected = reference(lead, rate)
            np.testing.assert_array_equal(r_peaks(lead, rate), expected)
            count += len(expected)
    assert count > 300


def test_no_peaks_without_values():
    assert r_peaks(np.full(1000, np.nan, np.float32), 100.0).size == 0
    assert r_peaks(np.zeros(1000, np.float32), 100.0).size == 0


@pytest.mark.real
@pytest.mark.parametrize("rate", [100.0, 500.0])
def test_peaks_of_real_recordings(real_data: Path, rate: float) -> None:
    for path in sorted((real_data / "ptbxl_500/records500").rglob("*.hea"))[:50]:
        record = wfdb.rdrecord(path.with_suffix(""))
        cleaned = clean(record.p_signal.T.astype(np.float32), record.fs, SignalSpec(sampling_rate=rate))
        for lead in cleaned:
            np.testing.assert_array_equal(r_peaks(lead, rate), reference(lead, rate))

"""Typical voltage of a set: usual sets pass, and constant factors are reported with their size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.io import read
from ecgssl.signal.raw_figures import raw_figures
from ecgssl.signal.set_voltage import FEWEST, unusual_voltage


@pytest.mark.parametrize(("factor", "text"), [(5.0, "5.0 times too large"), (1 / 4.88, "4.9 times too small")])
def test_a_constant_factor_is_reported(factor, text):
    spans = np.linspace(0.6, 1.6, 25) * factor
    assert text in unusual_voltage(spans)
    assert "25 recordings" in unusual_voltage([*spans, np.nan])


def test_few_recordings_are_not_judged():
    assert unusual_voltage([6.0] * (FEWEST - 1)) == ""
    assert unusual_voltage([6.0] * FEWEST) != ""


@given(st.lists(st.floats(0.6, 2.0), min_size=FEWEST, max_size=50), st.floats(4.0, 1e6))
def test_usual_sets_pass_and_larger_factors_do_not(spans, factor):
    assert unusual_voltage(spans) == ""
    assert "too large" in unusual_voltage(np.array(spans) * factor)
    assert "too small" in unusual_voltage(np.array(spans) / factor)


def test_real_sets_are_usual(real_data):
    files = sorted((real_data / "cinc2021").rglob("*.hea"))
    spans = []
    for file in files[::3]:
        recording = read(file)
        spans.append(float(np.nanmedian(raw_figures(np.nan_to_num(recording.signal), recording.sampling_rate).span)))
    assert len(spans) >= FEWEST
    assert unusual_voltage(spans) == ""
    assert "5" in unusual_voltage(5 * np.array(spans))

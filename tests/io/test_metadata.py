"""Tests of metadata: overrides and file values for sampling rate, unit and leads, and their errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgssl.errors import RecordingError
from ecgssl.io.metadata import (
    NO_OVERRIDES,
    MetadataOverrides,
    ResolvedMetadata,
    build_recording,
    recording_meta,
    resolve_metadata,
)
from ecgssl.io.read_errors import parser_errors
from ecgssl.io.size_limits import LARGEST, check_size, read_limited

FILE = Path("a.bin")


def reason(*args, **kwargs) -> str:
    with pytest.raises(RecordingError) as caught:
        resolve_metadata(FILE, *args, **kwargs)
    assert caught.value.problems[0].remedy
    return caught.value.reason


def test_the_file_alone():
    got = resolve_metadata(
        FILE,
        NO_OVERRIDES,
        4,
        sampling_rate=500,
        unit=["uV", "bpm", "V", "mV"],
        leads=["v1", "HR", "MDC_ECG_LEAD_I", "x"],
    )
    assert got == ResolvedMetadata(500.0, (0, 2), ("v1", "MDC_ECG_LEAD_I"), (1e-3, 1e3), (), ("HR", "x"))
    assert got.meta == {"left_out": ("HR", "x")}


def test_overrides_fill_in_and_replace_and_are_reported():
    overrides = MetadataOverrides(250.0, "uV", ("II", "V5"))
    assert resolve_metadata(FILE, overrides, 2) == ResolvedMetadata(250.0, (0, 1), ("II", "V5"), (1e-3, 1e-3), ())
    got = resolve_metadata(FILE, overrides, 2, sampling_rate=[500, 500], unit="mV", leads=["a", "b"])
    assert got.overridden == ("sampling_rate", "unit", "leads")
    assert got.meta == {"overridden": ("sampling_rate", "unit", "leads")}
    assert resolve_metadata(FILE, overrides, 2, sampling_rate=250, unit="µV", leads=["II", "V5"]).overridden == ()


@pytest.mark.parametrize(
    ("overrides", "stored", "expected"),
    [
        (NO_OVERRIDES, {"unit": "mV", "leads": ["I", "II"]}, "rate"),
        (MetadataOverrides(0.0), {"unit": "mV", "leads": ["I", "II"]}, "rate"),
        (MetadataOverrides(float("nan")), {"unit": "mV", "leads": ["I", "II"]}, "rate"),
        (MetadataOverrides(1e9), {"unit": "mV", "leads": ["I", "II"]}, "rate"),
        (NO_OVERRIDES, {"sampling_rate": [500, 250], "unit": "mV", "leads": ["I", "II"]}, "rates"),
        (MetadataOverrides(500.0), {"sampling_rate": [500, 250], "unit": "mV", "leads": ["I", "II"]}, "rates"),
        (NO_OVERRIDES, {"sampling_rate": 500, "leads": ["I", "II"]}, "unit"),
        (NO_OVERRIDES, {"sampling_rate": 500, "unit": "mmHg", "leads": ["I", "II"]}, "unit"),
        (MetadataOverrides(unit="mmHg"), {"sampling_rate": 500, "unit": "mV", "leads": ["I", "II"]}, "unit"),
        (NO_OVERRIDES, {"sampling_rate": 500, "unit": "mV"}, "no_leads"),
        (NO_OVERRIDES, {"sampling_rate": 500, "unit": "mV", "leads": ["x", ""]}, "no_leads"),
        (NO_OVERRIDES, {"sampling_rate": 500, "unit": "mV", "leads": ["I", "lead_i"]}, "duplicate_lead"),
        (MetadataOverrides(leads=("I",)), {"sampling_rate": 500, "unit": "mV", "leads": ["I", "II"]}, "leads"),
    ],
)
def test_insufficient_metadata(overrides, stored, expected):
    assert reason(overrides, 2, **stored) == expected


def test_rows_are_scaled_to_float32_and_what_is_not_finite_is_nan():
    resolved = resolve_metadata(
        FILE, NO_OVERRIDES, 3, sampling_rate=100, unit=["uV", "mV", "V"], leads=["I", "II", "V1"]
    )
    rows = [np.array([2**40, -1, 3]), np.array([1, np.inf, 2], np.float16), np.array([1e300, 1e-3, np.nan])]
    got = build_recording(FILE, resolved, rows, record_id="r", name="test", meta={"age": 4.0})
    assert got.signal.dtype == np.float32
    np.testing.assert_array_equal(
        got.signal, np.array([[2**40 * 1e-3, -1e-3, 3e-3], [1, np.nan, 2], [np.nan, 1, np.nan]], np.float32)
    )
    assert (got.sampling_rate, got.leads, got.record_id) == (100.0, ("I", "II", "V1"), "r")
    assert got.meta == {"format": "test", "age": 4.0}


@pytest.mark.parametrize(
    ("row", "expected"), [(np.zeros(0), "length"), (np.zeros(3, complex), "content"), (np.array(["a"]), "content")]
)
def test_rows_that_are_no_signal(row, expected):
    resolved = resolve_metadata(FILE, NO_OVERRIDES, 1, sampling_rate=100, unit="mV", leads=["I"])
    with pytest.raises(RecordingError) as caught:
        build_recording(FILE, resolved, [row], record_id="r", name="test")
    assert caught.value.reason == expected


def test_age_and_sex_are_kept():
    assert recording_meta(54.5, " F ") == {"age": 54.5, "sex": "female"}
    assert recording_meta(90.0, "MALE") == {"age": 90.0, "sex": "male"}
    assert recording_meta(300.0, "unknown") == {}
    assert recording_meta(float("nan"), None) == {}
    assert [recording_meta(age, None).get("age") for age in (0, 89, 89.5, 104, 131, -1)] == [0, 89, 90, 90, None, None]


def test_limits(tmp_path):
    check_size(FILE, 12, 30 * 60 * 257)
    check_size(FILE, 3, 24 * 3600 * 500)
    check_size(FILE, 1, LARGEST)
    for leads, samples in ((12, 24 * 3600 * 500), (1, LARGEST + 1)):
        with pytest.raises(RecordingError) as caught:
            check_size(FILE, leads, samples)
        assert caught.value.reason == "too_large"
    (tmp_path / "a").write_bytes(b"12345")
    assert read_limited(tmp_path / "a", 5) == b"12345"
    for path, largest, expected in (
        (tmp_path / "a", 4, "too_large"),
        (tmp_path, 4, "unreadable"),
        (FILE, 4, "missing_file"),
    ):
        with pytest.raises(RecordingError) as caught:
            read_limited(path, largest)
        assert caught.value.reason == expected


@pytest.mark.parametrize("error", [IndexError, OverflowError, RecursionError, MemoryError, ZeroDivisionError, OSError])
def test_errors_of_a_parser_are_reported_without_their_text(error):
    with pytest.raises(RecordingError) as caught, parser_errors(FILE, "parser"):
        raise error("Jane Doe, born 1970")
    assert caught.value.reason == "unreadable"
    assert error.__name__ in str(caught.value)
    assert "Doe" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), parser_errors(FILE, "parser"):
        raise KeyboardInterrupt

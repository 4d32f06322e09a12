"""Recordings in memory: every invalid field is an InputError that states the value and the fix."""

from __future__ import annotations

import numpy as np
import pytest

import ecgssl
from ecgssl.errors import InputError, RecordingError

LEADS = list(ecgssl.LEADS)
SIGNAL = np.random.default_rng(0).normal(size=(12, 500)).astype(np.float32)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (SIGNAL.T, r"has shape \(500, 12\) for 12 leads, but \(leads, samples\) is required: transpose\?"),
        (SIGNAL[:11], "has 12 names for 11 rows of the signal"),
        (SIGNAL[0], "has 1 dimensions"),
        (SIGNAL.tolist(), r"is of type list. Use numpy.asarray\(signal, dtype=numpy.float32\)"),
        (SIGNAL.astype(object), "has the type object, not numbers"),
        (SIGNAL + 0j, "has complex numbers"),
        (SIGNAL.astype(str), "has text instead of numbers"),
        (SIGNAL > 0, "has truth values instead of voltages"),
        (np.ma.masked_greater(SIGNAL, 1), r"is a masked array, whose mask would be lost. .*filled\(numpy.nan\)"),
    ],
    ids=["transposed", "rows", "1d", "list", "object", "complex", "text", "bool", "masked"],
)
def test_signals(signal, message):
    with pytest.raises(RecordingError, match=message) as caught:
        ecgssl.Recording(signal, 500, LEADS, "x")
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("rate", [0, -500, np.nan, np.inf, "500", "abc", [500], True, None, 1e6])
def test_sampling_rates(rate):
    with pytest.raises(RecordingError, match=r"sampling_rate: is .* Set it in Hz") as caught:
        ecgssl.Recording(SIGNAL, rate, LEADS, "x")
    assert caught.value.reason == "rate"


@pytest.mark.parametrize(
    ("leads", "reason", "message"),
    [
        ([*LEADS[:11], "Q"], "leads", "has unknown names: 'Q'. Use I, II, III, aVR"),
        (["I"] * 12, "duplicate_lead", "has I more than once"),
        (",".join(LEADS), "leads", r"is one text, not a list of names. .*leads.split\(','\)"),
        ([*LEADS[:11], None], "leads", "has names that are no text, but of type NoneType"),
        (12, "leads", "is of type int. Use a list of names"),
    ],
)
def test_lead_names(leads, reason, message):
    with pytest.raises(RecordingError, match=message) as caught:
        ecgssl.Recording(SIGNAL, 500, leads, "x")
    assert caught.value.reason == reason


def test_all_problems_are_listed_together():
    with pytest.raises(RecordingError) as caught:
        ecgssl.Recording(SIGNAL[:11], "500", [*LEADS[:11], "Q"], None)
    assert caught.value.reason == "malformed;leads;rate"
    for text in ("12 names for 11 rows", "NoneType", "'Q'", "is of type str, not a number", "Give a text"):
        assert text in str(caught.value)


def test_a_valid_recording_keeps_its_values():
    for signal in (SIGNAL, SIGNAL.astype(np.int16), SIGNAL.astype(np.float64)):
        recording = ecgssl.Recording(signal, np.float32(500), [lead.lower() for lead in LEADS], "x")
        assert recording.signal is signal
        assert recording.leads == tuple(lead.lower() for lead in LEADS)


def test_a_drawing_needs_a_value():
    with pytest.raises(RecordingError, match="x: duration: 0 s, there are no samples") as caught:
        ecgssl.Recording(SIGNAL[:, :0], 500, LEADS, "x").plot()
    assert caught.value.reason == "too_short"
    with pytest.raises(RecordingError, match="x: signal: has no values, all are NaN or infinite") as caught:
        ecgssl.Recording(SIGNAL * np.float32(np.nan), 500, LEADS, "x").plot()
    assert caught.value.reason == "nan"


def test_the_quality_of_one_sample_is_not_judged():
    with pytest.raises(RecordingError, match=r"x: duration: 0.002 s, shorter than limits.min_duration, 5 s") as caught:
        ecgssl.Recording(SIGNAL[:, :1], 500, LEADS, "x").quality()
    assert caught.value.reason == "too_short"


@pytest.mark.parametrize("path", [None, 5, b"ecg.hea"])
def test_reading_needs_a_path(path):
    with pytest.raises(InputError, match=r"path: is of type .* Use a text or a pathlib\.Path"):
        ecgssl.read(path)


@pytest.mark.parametrize(("path", "message"), [("", "is empty"), (".", "is a folder")])
def test_reading_a_path_without_a_file_name(path, message):
    with pytest.raises(RecordingError, match=message) as caught:
        ecgssl.read(path)
    assert caught.value.reason == "unreadable"

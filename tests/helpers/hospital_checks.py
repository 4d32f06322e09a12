"""Checks for the readers of hospital formats: reason codes, and no patient data in recordings and messages."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hospital_xml import PERSON

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.recording import Recording


def leaked(text: str) -> list[str]:
    """Return the made-up patient data that a text contains."""
    return [word for word in PERSON.values() if word.casefold() in text.casefold()]


def anonymous(recording: Recording) -> None:
    """Check that no field holds made-up patient data other than age and sex."""
    fields = {f.name: getattr(recording, f.name) for f in dataclasses.fields(recording) if f.name != "signal"}
    assert leaked(repr(fields)) == []
    assert set(recording.meta) <= {
        "format", "age", "sex", "device", "filters", "overridden", "repaired", "ignored", "leads_off", "pace_spikes",
        "preamble", "skew", "unnamed_channels", "calibration", "left_out", "inverted", "uncalibrated",
    }  # fmt: skip


def reason(path: Path | str, **options) -> str:
    """Return the reason code of a refused file."""
    with pytest.raises(RecordingError) as caught:
        read(path, **options)
    error = caught.value
    assert leaked(str(error)) == []
    assert error.problems[0].remedy
    return error.reason


def swap(text: str, *changes: tuple[str, str], count: int = 1) -> str:
    """Return the text with the last occurrences of ``old`` replaced; in the test files the median beat comes first."""
    for old, new in changes:
        assert old in text, old
        text = new.join(text.rsplit(old, count))
    return text


def plant(text: str, pattern: str, new: str, *, everywhere: bool = False) -> str:
    """Return the text with the last match of a pattern replaced, or all; ``new`` may refer to groups."""
    places = list(re.finditer(pattern, text, re.DOTALL))
    assert places, pattern
    for place in reversed(places if everywhere else places[-1:]):
        text = text[: place.start()] + place.expand(new) + text[place.end() :]
    return text

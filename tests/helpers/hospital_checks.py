"""What holds for every hospital reader: a named error for a named fault, and nothing of the person in it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hospital_xml import PERSON

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.recording import Recording


def told(text: str) -> list[str]:
    """Which planted words a text contains."""
    return [word for word in PERSON.values() if word.casefold() in text.casefold()]


def anonymous(recording: Recording) -> None:
    """Nothing planted in any field; of age and sex what may be kept."""
    fields = {f.name: getattr(recording, f.name) for f in dataclasses.fields(recording) if f.name != "signal"}
    assert told(repr(fields)) == []
    assert set(recording.meta) <= {
        "format", "age", "sex", "device", "filters", "overridden", "repaired", "ignored", "leads_off", "pace_spikes",
        "preamble", "skew", "unnamed_channels", "calibration",
    }  # fmt: skip


def reason(path: Path | str, **options) -> str:
    """Reason code with which a file is refused."""
    with pytest.raises(RecordingError) as caught:
        read(path, **options)
    error = caught.value
    assert told(str(error)) == []
    assert error.problems[0].remedy
    return error.reason


def swap(text: str, *changes: tuple[str, str], count: int = 1) -> str:
    """The last occurrences of ``old`` replaced: in these miniatures the median comes first."""
    for old, new in changes:
        assert old in text, old
        text = new.join(text.rsplit(old, count))
    return text


def plant(text: str, pattern: str, new: str, *, everywhere: bool = False) -> str:
    """The last match of a pattern replaced, or all of them; ``new`` may refer to its groups."""
    places = list(re.finditer(pattern, text, re.DOTALL))
    assert places, pattern
    for place in reversed(places if everywhere else places[-1:]):
        text = text[: place.start()] + place.expand(new) + text[place.end() :]
    return text

"""Wrong gains of early Challenge releases: the exact headers are refused, and other headers are read as stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from wfdb_files import noise, write_record

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides


def challenge_record(folder: Path, name: str, gain: str, *, samples: int = 5000, leads: int = 12, offset: int = 24):
    """Write a record in the layout of the Challenge and return the path of its header."""
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")[:leads]
    digital = noise(leads, samples)
    path = write_record(folder, name, digital, names, gain=gain, suffix="mat")
    header, signal = path.with_suffix(".hea"), path.with_suffix(".mat")
    header.write_text(header.read_text().replace(".mat 16 ", f".mat 16+{offset} "))
    signal.write_bytes(bytes(offset) + signal.read_bytes())
    return header, digital


@pytest.mark.parametrize(
    ("name", "gain", "effect"),
    [
        ("HR00434", "200/mV", "5 times too large"),
        ("HR21837", "200.0(0)/mv", "5 times too large"),
        ("HR01655", "200", "5 times too large"),
        ("HR00001", "4880/mV", "4.88 times too small"),
        ("E07510", "4880/mV", "4.88 times too small"),
        ("Q0400", "4880.0(0)/mV", "4.88 times too small"),
    ],
)
def test_known_wrong_gains_are_refused_with_the_fix(tmp_path, name, gain, effect):
    header, digital = challenge_record(tmp_path, name, gain)
    for path in (header, header.with_suffix(".mat"), header.with_suffix("")):
        with pytest.raises(RecordingError, match=effect) as caught:
            read(path)
        assert caught.value.reason == "gain"
    remedy = caught.value.problems[0].remedy
    assert "1000" in remedy
    assert "--units mV" in remedy
    # both fixes of the message work
    stated = read(header, overrides=MetadataOverrides(unit="mV"))
    number = float(gain.split("/")[0].split("(")[0])
    np.testing.assert_allclose(stated.signal, digital / number, rtol=1e-6)
    header.write_text(header.read_text().replace(gain, "1000/mV"))
    np.testing.assert_allclose(read(header).signal, digital / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "gain", "options"),
    [
        ("HR00434", "1000/mV", {}),
        ("HR00434", "200(5)/mV", {}),
        ("HR00434", "200/uV", {}),
        ("HR00434", "200/mV", {"offset": 0}),
        ("HR00434", "200/mV", {"samples": 4000}),
        ("HR00434", "200/mV", {"leads": 8}),
        ("HR0434", "200/mV", {}),
        ("E00434", "200/mV", {}),
        ("ward_7", "4880/mV", {}),
    ],
)
def test_other_headers_are_read_as_stated(tmp_path, name, gain, options):
    header, digital = challenge_record(tmp_path, name, gain, **options)
    assert read(header).signal.shape == digital.shape

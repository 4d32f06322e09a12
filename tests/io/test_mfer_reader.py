"""Tests of the MFER reader: files in the layout of MFER Part 1, and inconsistent definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hospital_checks import anonymous, reason
from hospital_xml import digital
from mfer_files import define, mfer

from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.vendors.mfer_layout import is_mfer_head
from ecgssl.io.vendors.mfer_reader import MOST_FRAMES
from ecgssl.signal.leads import LEADS


def save(folder: Path, data: bytes) -> Path:
    (folder / "a.mwf").write_bytes(data)
    return folder / "a.mwf"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("preamble", "frames"), [(True, 1), (False, 3)])
def test_round_trip_and_no_person(tmp_path: Path, order: str, preamble: bool, frames: int) -> None:
    leads = digital(samples=300)
    data = mfer(leads, nanovolts=1250, rate=1000, order=order, preamble=preamble, frames=frames)
    got = read(save(tmp_path, data))
    assert (got.leads, got.sampling_rate) == (LEADS, 1000)
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 1.25e-3, rtol=1e-6)
    anonymous(got)
    expected = {"format": "mfer", "age": 90.0, "sex": "female", "device": "Model"}
    assert got.meta == expected | {"filters": {"high_pass": 0.05, "low_pass": 150.0}}


def test_missing_values_and_other_leads(tmp_path: Path) -> None:
    rows = {"II": digital(samples=90)["II"], "V3R": digital(samples=90)["I"]}
    rows["II"][20:30] = -32768
    got = read(save(tmp_path, mfer(rows, null=-32768)))
    assert got.leads == ("II",)
    assert np.flatnonzero(np.isnan(got.signal[0])).tolist() == list(range(20, 30))
    assert got.meta["left_out"] == ("V3R",)


def test_faults_have_names(tmp_path: Path) -> None:
    leads = digital(samples=60)
    whole = mfer(leads)
    assert reason(save(tmp_path, whole[:-100])) == "truncated"
    shorter = define(0x1E, np.stack(list(leads.values())).astype("<i2").tobytes()[:-200])
    assert reason(save(tmp_path, whole[: whole.rindex(b"\x1e\x84")] + shorter)) == "truncated"
    assert reason(save(tmp_path, mfer(leads, nanovolts=0))) == "gain"
    # the default of the standard, 1000 Hz, is not assumed
    assert reason(save(tmp_path, mfer(leads, rate=None))) == "rate"
    assert read(save(tmp_path, mfer(leads, rate=None)), overrides=MetadataOverrides(500.0)).sampling_rate == 500
    assert reason(save(tmp_path, define(0x43, b"\0\0\x10\0") + whole)) == "skew"
    many = mfer({"II": digital(samples=MOST_FRAMES + 1)["II"]}, frames=MOST_FRAMES + 1)
    assert reason(save(tmp_path, many)) == "header"


@pytest.mark.parametrize("text", [b"I,II\n1,2\n", b"?\n\n\x0b\x0c", b"@ABC", b"", b"\x01\x01\x01", b"Axis, \n\n\n\n"])
def test_other_content_is_not_mfer(text: bytes) -> None:
    assert not is_mfer_head(text)

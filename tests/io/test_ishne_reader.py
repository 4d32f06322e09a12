"""Tests of the ISHNE reader: files in the layout of the specification, and inconsistent headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hospital_checks import anonymous, reason
from hospital_xml import PERSON, digital
from ishne_files import ishne

from ecgssl.io import read
from ecgssl.signal.leads import LEADS


def save(folder: Path, data: bytes) -> Path:
    (folder / "a.ecg").write_bytes(data)
    return folder / "a.ecg"


@pytest.mark.parametrize(("comments", "checksum"), [(b"", True), (PERSON["statement"].encode(), True), (b"", False)])
def test_round_trip_and_no_person(tmp_path: Path, comments: bytes, checksum: bool) -> None:
    leads = digital(samples=300)
    got = read(save(tmp_path, ishne(leads, nanovolts=2500, rate=1000, comments=comments, checksum=checksum)))
    assert (got.leads, got.sampling_rate) == (LEADS, 1000)
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 2.5e-3, rtol=1e-6)
    anonymous(got)
    assert got.meta == {"format": "ishne", "age": 90.0, "sex": "female"}


def test_disconnected_electrodes_and_other_leads(tmp_path: Path) -> None:
    rows = {"V5": digital(samples=200)["V5"], "X": digital(samples=200)["I"], "unknown": digital(samples=200)["II"]}
    rows["V5"][50:70] = -32768
    # some programs declare the samples of all leads together
    got = read(save(tmp_path, ishne(rows, nanovolts=1000, declared=600)))
    assert got.leads == ("V5",)
    assert np.flatnonzero(np.isnan(got.signal[0])).tolist() == list(range(50, 70))
    np.testing.assert_allclose(got.signal[0, :50], rows["V5"][:50] * 1e-3, rtol=1e-6)
    assert got.meta["left_out"] == ("X", "Lead 3")


FAULTS = {
    "cut": (lambda d: d[:-24], "truncated"),
    "half a frame": (lambda d: d[:-4], "truncated"),
    "header only": (lambda d: d[:400], "truncated"),
    "more samples": (lambda d: d + bytes(24), "length"),
    "no leads": (lambda d: d[:156] + b"\0\0" + d[158:], "header"),
    "negative block": (lambda d: d[:10] + b"\xff" * 4 + d[14:], "header"),
    "one bit of the name": (lambda d: d[:70] + bytes([d[70] ^ 1]) + d[71:], "checksum"),
    "no rate": (lambda d: d[:8] + b"\0\0" + d[10:272] + b"\0\0" + d[274:], "unreadable"),
    "no resolution": (lambda d: d[:8] + b"\0\0" + d[10:206] + bytes(24) + d[230:], "gain"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_have_names(tmp_path: Path, fault: str) -> None:
    change, expected = FAULTS[fault]
    assert reason(save(tmp_path, change(ishne(digital())))) == expected

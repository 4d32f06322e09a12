"""Tests of the reader for ATC files of AliveCor devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from atc_files import atc, block
from hospital_checks import anonymous, reason
from hospital_xml import digital

from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS


def save(folder: Path, data: bytes) -> Path:
    (folder / "a.atc").write_bytes(data)
    return folder / "a.atc"


@pytest.mark.parametrize("count", [1, 6, 12])
@pytest.mark.parametrize("crc", [False, True])
def test_round_trip_and_no_person(tmp_path: Path, count: int, crc: bool) -> None:
    leads = digital(LEADS[:count], samples=400)
    got = read(save(tmp_path, atc(leads, nanovolts=250, rate=600, crc=crc)))
    assert (got.leads, got.sampling_rate) == (LEADS[:count], 600)
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 250e-6, rtol=1e-6)
    anonymous(got)
    assert got.meta == {"format": "atc"}


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


LEADS_OF_SIX = digital(LEADS[:6], samples=50)
FAULTS = {
    "cut in a block": (atc(LEADS_OF_SIX)[:-30], "truncated"),
    "cut in a checksum": (atc(LEADS_OF_SIX)[:-2], "truncated"),
    "one bit of a sample": (flip(atc(LEADS_OF_SIX), 340), "checksum"),
    "no format": (b"ALIVE\0\0\0\5\0\0\0" + block(b"ecg ", bytes(20)), "header"),
    "other samples": (atc(LEADS_OF_SIX, kind=2), "header"),
    "no samples": (atc({"I": LEADS_OF_SIX["I"]}).replace(b"ecg ", b"xcg "), "checksum"),
    "only a beat": (
        b"ALIVE\0\0\0\5\0\0\0" + block(b"fmt ", b"\1\x2c\1\xf4\1\0\0\0") + block(b"avg ", bytes(20)),
        "no_leads",
    ),
    "half a sample": (atc(LEADS_OF_SIX) + block(b"ecg7", bytes(101)), "truncated"),
    "leads of two lengths": (atc(LEADS_OF_SIX) + block(b"ecg7", bytes(20)), "length"),
    "a lead twice": (atc(LEADS_OF_SIX) + block(b"ecg ", bytes(100)), "duplicate_lead"),
    "no resolution": (atc(LEADS_OF_SIX, nanovolts=0), "gain"),
    "no rate": (atc(LEADS_OF_SIX, rate=0), "rate"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_have_names(tmp_path: Path, fault: str) -> None:
    data, expected = FAULTS[fault]
    assert reason(save(tmp_path, data)) == expected


def test_a_stated_rate_replaces_that_of_the_file(tmp_path: Path) -> None:
    got = read(save(tmp_path, atc(LEADS_OF_SIX, rate=0)), overrides=MetadataOverrides(300.0))
    assert got.sampling_rate == 300

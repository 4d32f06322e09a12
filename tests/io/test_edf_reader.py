"""Tests of the EDF reader: files written by edfio, inconsistent headers, and headers with patient data."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
from edfio import Bdf, BdfSignal, Edf, EdfAnnotation, EdfSignal, Patient, Recording

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS


def signal(samples: int = 5000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 500, (12, samples)).clip(-3000, 3000)


def write(path: Path, labels=LEADS, values=None, unit="uV", rates=(500,), annotations=None) -> Path:
    values = signal() if values is None else values
    signals = [
        EdfSignal(row, rate, label=label, physical_dimension=unit, physical_range=(-3276.8, 3276.7))
        for row, label, rate in zip(values, labels, list(rates) * (len(labels) // len(rates)), strict=False)
    ]
    Edf(
        signals,
        patient=Patient(code="MRN4711", name="Jane_Doe", sex="F", birthdate=datetime.date(1950, 2, 3)),
        recording=Recording(
            startdate=datetime.date(2020, 1, 2), investigator_technician_code="Dr_Who", equipment_code="SN99"
        ),
        data_record_duration=1,
        annotations=annotations,
    ).write(path)
    return path


def reason(path: Path | str, overrides: MetadataOverrides = NO_OVERRIDES) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=overrides)
    assert caught.value.problems[0].remedy
    return caught.value.reason


@pytest.mark.parametrize("annotations", [None, [EdfAnnotation(1, None, "Jane Doe fainted")]])
@pytest.mark.parametrize("form", ["{}", "ECG {}", "EKG {}", "ecg_{}", "ECG Lead {}", "EKG: {}"])
def test_leads_in_any_spelling(tmp_path, form, annotations):
    path = write(tmp_path / "r.bin", [form.format(lead) for lead in LEADS], annotations=annotations)
    got = read(path)
    np.testing.assert_allclose(got.signal, signal() / 1000, atol=0.00005001)
    assert (got.sampling_rate, got.record_id) == (500.0, "r")
    assert got.meta == {"format": "edf"}
    assert [lead.removeprefix("Lead ") for lead in got.leads] == list(LEADS)


def test_other_signals_and_their_rates_are_left_out(tmp_path):
    values = [signal()[0], np.arange(250.0), signal()[1], signal(2500)[2]]
    path = write(tmp_path / "r.edf", ("ECG I", "SpO2", "V3", "Resp"), values, rates=(500, 25, 500, 250))
    got = read(path)
    assert got.leads == ("I", "V3")
    np.testing.assert_allclose(got.signal, signal()[:2] / 1000, atol=0.00005001)
    path = write(tmp_path / "s.edf", ("ECG I", "V3"), [signal()[0], signal(2500)[1]], rates=(500, 250))
    assert reason(path) == "rates"


def test_units_and_what_is_stated(tmp_path):
    path = write(tmp_path / "r.edf", ("ECG", "x"), signal()[:2], unit="mV")
    assert reason(path) == "no_leads"
    got = read(path, overrides=MetadataOverrides(250.0, "uV", ("II", "V5")))
    np.testing.assert_allclose(got.signal, signal()[:2] / 1000, atol=0.00005001)
    assert got.meta["overridden"] == ("sampling_rate", "unit", "leads")
    assert reason(write(tmp_path / "s.edf", LEADS, unit="mmHg")) == "unit"
    assert reason(write(tmp_path / "t.edf", LEADS, unit="")) == "unit"
    assert reason(f"{path}#1", MetadataOverrides(leads=("I", "II"))) == "member"


def patched(path: Path, start: int, text: str, length: int = 8) -> Path:
    data = bytearray(path.read_bytes())
    data[start : start + length] = text.ljust(length).encode("latin-1")
    path.write_bytes(data)
    return path


WHERE = {"records": 236, "duration": 244, "signals": 252, "reserved": 192, "size": 184}
SIGNAL = {"unit": 96, "physical_min": 104, "physical_max": 112, "digital_min": 120, "digital_max": 128, "samples": 216}


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("records", "11", "truncated"),
        ("records", "9", "length"),
        ("records", "99999999", "truncated"),
        ("records", "-2", "header"),
        ("records", "x", "header"),
        ("duration", "0", "unreadable"),
        ("duration", "-1", "rate"),
        ("duration", "1e-9", "rate"),
        ("duration", "x", "unreadable"),
        ("reserved", "EDF+D", "gaps"),
        ("physical_min", "nan", "gain"),
        ("physical_min", "x", "unreadable"),
        ("digital_max", "-32769", "gain"),
        ("digital_min", "x", "unreadable"),
        ("samples", "0", "truncated"),
        ("samples", "-500", "header"),
        ("samples", "99999999", "truncated"),
        ("unit", "bpm", "unit"),
    ],
)
def test_inconsistent_headers(tmp_path, field, text, expected):
    path = write(tmp_path / "r.edf")
    start = WHERE[field] if field in WHERE else 256 + 12 * SIGNAL[field]
    found = reason(patched(path, start, text))
    assert found == expected or (field == "samples" and found in ("truncated", "length"))


@pytest.mark.parametrize("changes", [
    {"physical_min": "0", "physical_max": "0"}, {"physical_min": "3276.7"}, {"digital_min": "0", "digital_max": "0"},
    {"physical_min": "0", "physical_max": "0", "unit": ""}, {"digital_min": "0", "digital_max": "0", "unit": "n/c"},
])  # fmt: skip
def test_a_lead_that_was_not_connected_is_masked(tmp_path, changes):
    path = write(tmp_path / "r.edf")
    for field, text in changes.items():
        # the second lead
        patched(path, 256 + 12 * SIGNAL[field] + 8, text)
    got = read(path)
    assert np.isnan(got.signal[1]).all()
    assert got.meta["uncalibrated"] == ("II",)
    np.testing.assert_allclose(np.delete(got.signal, 1, 0), np.delete(signal(), 1, 0) / 1000, atol=0.00005001)


def test_a_file_without_a_calibrated_lead(tmp_path):
    path = write(tmp_path / "r.edf", ("II",), signal()[:1])
    assert reason(patched(path, 256 + SIGNAL["physical_min"], "3276.7")) == "gain"


def discontinuous(path: Path, gap: float = 0.0, first: float = 0.0) -> Path:
    """Declare an EDF+C file to be EDF+D, with times of records that start at ``first`` and a gap before record 4."""
    data = bytearray(path.read_bytes())
    assert data[192:197] == b"EDF+C"
    data[196:197] = b"D"
    for number in range(10):
        old, new = (b"+%s\x14\x14" % str(value).encode() for value in (number, number + first + gap * (number >= 3)))
        place = data.index(old, 256 * 14 + number * (2 * 12 * 500))
        data[place : place + len(new)] = new
    path.write_bytes(data)
    return path


def test_edf_plus_d_without_a_gap(tmp_path):
    path = write(tmp_path / "r.edf", annotations=[EdfAnnotation(1, None, "a note that makes room for the times")])
    got = read(discontinuous(path, first=2.5))
    np.testing.assert_allclose(got.signal, signal() / 1000, atol=0.00005001)


@pytest.mark.parametrize("gap", [0.004, 1.0, -0.5])
def test_edf_plus_d_with_a_gap(tmp_path, gap):
    path = write(tmp_path / "r.edf", annotations=[EdfAnnotation(1, None, "a note that makes room for the times")])
    with pytest.raises(RecordingError, match="gap before record 4") as caught:
        read(discontinuous(path, gap))
    assert caught.value.reason == "gaps"


def test_bdf(tmp_path):
    values = np.random.default_rng(0).normal(0, 900, (12, 1000))
    signals = [
        BdfSignal(row, 500, label=f"ECG {lead}", physical_dimension="uV", physical_range=(-9000, 9000))
        for row, lead in zip(values, LEADS, strict=True)
    ]
    status = BdfSignal(np.zeros(1000), 500, label="Status", physical_range=(-8388608, 8388607))
    Bdf([*signals, status], data_record_duration=1).write(tmp_path / "r.bdf")
    got = read(tmp_path / "r.bdf")
    assert got.leads == LEADS
    # 24 bits keep a step of 1.1 nV
    np.testing.assert_allclose(got.signal, values / 1000, atol=2e-6)
    assert got.meta == {"format": "bdf", "left_out": ("Status",)}
    (tmp_path / "r.bdf").write_bytes((tmp_path / "r.bdf").read_bytes()[:-3])
    assert reason(tmp_path / "r.bdf") == "truncated"


def test_number_of_signals_must_fit_the_header(tmp_path):
    path = patched(write(tmp_path / "r.edf"), WHERE["signals"], "13", 4)
    assert reason(path) == "format", "the signature of EDF includes it"


def test_records_not_counted_while_recording(tmp_path):
    path = patched(write(tmp_path / "r.edf"), WHERE["records"], "-1")
    np.testing.assert_allclose(read(path).signal, signal() / 1000, atol=0.00005001)
    path.write_bytes(path.read_bytes()[:-7])
    assert reason(path) == "truncated"


def test_inverted_ranges_invert_the_signal(tmp_path):
    """In EDF, a physical minimum above the maximum means that the lead is inverted."""
    path = write(tmp_path / "r.edf")
    whole = read(path).signal
    patched(path, 256 + 12 * SIGNAL["physical_min"], "3276.7")
    patched(path, 256 + 12 * SIGNAL["physical_max"], "-3276.8")
    got = read(path).signal
    np.testing.assert_allclose(got[0], -whole[0], atol=0.0002)
    np.testing.assert_array_equal(got[1:], whole[1:])


def test_who_and_when_stays_in_the_file(tmp_path):
    path = write(tmp_path / "r.edf", annotations=[EdfAnnotation(1, None, "Jane Doe fainted")])
    got = repr(read(path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RecordingError) as caught:
        read(path)
    for secret in ("Jane", "Doe", "MRN4711", "1950", "2020", "Dr_Who", "SN99", "fainted"):
        assert secret.encode() in path.read_bytes()
        assert secret not in got + str(caught.value)

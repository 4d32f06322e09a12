"""Tests of the DICOM reader: comparison with pydicom, all sample types, and damaged files."""

from __future__ import annotations

import warnings

import numpy as np
import pydicom
import pytest
from dicom_files import CODES, coded, dicom, group
from hospital_checks import anonymous, leaked, reason
from hospital_xml import PERSON, digital
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.dicom.lead_codes import Contradiction, lead_name
from ecgssl.io.dicom.reader import LARGEST_DICOM, find_padding
from ecgssl.io.dicom.waveform import MOST_ITEMS
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS, limb_residual

MEDIAN = {name: row[:60] for name, row in digital().items()}


def save(folder, data, name="a.dcm"):
    path = folder / name
    path.write_bytes(data)
    return path


def by_pydicom(path, index=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path).waveform_array(index).T * 1e-3


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-32768, 32767), min_size=5, max_size=5), min_size=12, max_size=12),
    sensitivity=st.sampled_from(["1", "1.25", "4.88", "-2.5"]),
    correction=st.sampled_from(["1", "4.88", "0.5"]),
    baseline=st.sampled_from(["0", "-12.5", "1000"]),
)
def test_round_trip_and_pydicom(tmp_path_factory, rows, sensitivity, correction, baseline):
    leads = {name: np.array(row, dtype=np.int16) for name, row in zip(LEADS, rows, strict=True)}
    one = group(leads, sensitivity=sensitivity)
    for channel in one.ChannelDefinitionSequence:
        channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = correction, baseline
    path = save(tmp_path_factory.mktemp("dicom"), dicom(group(MEDIAN, label="MEDIAN BEAT", originality="DERIVED"), one))
    got = read(path)
    assert (got.leads, got.sampling_rate, got.record_id) == (LEADS, 500.0, "a")
    np.testing.assert_allclose(got.signal, by_pydicom(path, 1), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize(("kind", "low", "high"), [
    ("SB", -128, 127), ("UB", 0, 255), ("SS", -32768, 32767), ("US", 0, 65535), ("SL", -(2**31), 2**31 - 1),
    ("UL", 0, 2**32 - 1),
])  # fmt: skip
@pytest.mark.parametrize("syntax", ["little", "implicit", "big"])
def test_kinds_of_samples_and_byte_orders(tmp_path, kind, low, high, syntax):
    rng = np.random.default_rng(0)
    leads = {name: rng.integers(low, high, 51, endpoint=True) for name in ("I", "II", "V1")}
    uid = {"little": "1.2.840.10008.1.2.1", "implicit": ImplicitVRLittleEndian, "big": ExplicitVRBigEndian}[syntax]
    one = group(leads, kind=kind, order=">" if syntax == "big" else "<")
    got = read(save(tmp_path, dicom(one, syntax=uid)))
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 2.5e-3, rtol=1e-6)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian])
def test_without_preamble(tmp_path, syntax):
    leads = digital(("I", "II"))
    got = read(save(tmp_path, dicom(group(leads), syntax=syntax, preamble=False), "no-suffix"))
    assert got.meta["preamble"] == "absent"
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 2.5e-3, rtol=1e-6)


def test_padding_is_nan_and_units_go_by_channel(tmp_path):
    leads = digital(("I", "II", "V1"))
    leads["II"][100:120] = -32768
    one = group(leads)
    one.add_new("WaveformPaddingValue", "OW", np.array([-32768], "<i2").tobytes())
    one.ChannelDefinitionSequence[2].ChannelSensitivityUnitsSequence = coded("mV", "UCUM", "millivolt")
    one.ChannelDefinitionSequence[2].ChannelSensitivity = "0.0025"
    got = read(save(tmp_path, dicom(one)))
    assert np.flatnonzero(np.isnan(got.signal[1])).tolist() == list(range(100, 120))
    assert np.isfinite(got.signal[[0, 2]]).all()
    np.testing.assert_allclose(got.signal[2], leads["V1"] * 2.5e-3, rtol=1e-6)


def test_a_padding_value_that_is_also_measured(tmp_path):
    rows = digital(samples=400)
    for row in rows.values():
        row[150:153] = 0
    rows["II"][-120:] = 0
    rows["V1"][:60] = 0
    rows["V2"][:20] = rows["V2"][-4:] = 0
    one = group(rows)
    one.add_new("WaveformPaddingValue", "OW", np.array([0], "<i2").tobytes())
    got = read(save(tmp_path, dicom(one)))
    absent = np.isnan(got.signal)
    # runs of 0.1 s at the ends are padding; other zeros are values
    assert absent[1].sum() == 120
    assert absent[1, -120:].all()
    assert absent[6].sum() == 60
    assert absent.sum() == 180
    np.testing.assert_allclose(got.signal[0], rows["I"] * 2.5e-3, rtol=1e-6)


@pytest.mark.parametrize(("padding", "expected"), [(-32768, 3), (30000, 3), (200, 0)])
def test_a_padding_value_far_outside_the_signal_is_absent_everywhere(padding, expected):
    samples = np.random.default_rng(0).integers(-400, 401, 500)
    samples[[7, 250, 251]] = padding
    assert find_padding(samples, padding, 500.0).sum() == expected


def test_padding_shorter_than_a_sample(tmp_path):
    one = group(digital(("I", "II")), kind="SL")
    one.add_new("WaveformPaddingValue", "OB", b"\0\0")
    assert reason(save(tmp_path, dicom(one))) == "header"


def test_meta_holds_technical_facts_and_no_person(tmp_path):
    got = read(save(tmp_path, dicom(group(digital()))))
    anonymous(got)
    assert got.meta == {
        "format": "dicom",
        "age": 90.0,
        "sex": "female",
        "device": "EL250",
        "filters": {"high_pass": 0.05, "low_pass": 150.0},
    }


def test_what_makes_no_sense_is_not_logged(tmp_path, caplog):
    """pydicom would log invalid values, which may be patient data."""

    def misplace(dataset):
        for keyword in ("PatientAge", "PatientSex"):
            dataset[keyword] = pydicom.DataElement(keyword, "LO", PERSON["family"])

    path = save(tmp_path, dicom(group(digital()), syntax=ImplicitVRLittleEndian, change=misplace))
    caplog.clear()
    got = read(path)
    anonymous(got)
    assert "age" not in got.meta
    assert leaked(caplog.text) == []


def test_leads_by_code_or_text():
    for number, name in ((number, name) for name, number in CODES.items()):
        assert lead_name(f"2:{number}", "") == lead_name(f"5.6.3-9-{number}", "anything") == name
        assert lead_name("", f"Lead {name}") == lead_name("private", f"{name.upper()}, something") == name
        assert lead_name(f"MDC_ECG_LEAD_{name.upper()}", "") == name
    assert lead_name("5.6.3-9-1", "Lead I (Einthoven)") == "I"
    assert lead_name("2:62", "aVR, augmented voltage, right") == "aVR"
    assert lead_name("2:65", "Lead -aVR") == "-aVR"
    assert lead_name("2:131", "Derived lead X") not in LEADS
    assert lead_name("", "Respiration") not in LEADS
    for code, meaning in (("2:1", "Lead II"), ("2:65", "Lead aVR"), ("2:62", "\u2212aVR")):
        with pytest.raises(Contradiction):
            lead_name(code, meaning)


def test_skew_below_a_sample_is_reported(tmp_path):
    one = group(digital(("I", "II")))
    one.ChannelDefinitionSequence[1].ChannelSampleSkew = "0.25"
    assert read(save(tmp_path, dicom(one))).meta["skew"] == pytest.approx(0.25 / 500)


def test_other_channels_are_left_out(tmp_path):
    one = group(digital(("I", "II", "V1")))
    one.ChannelDefinitionSequence[1].ChannelSourceSequence = coded("2:11", "MDC", "Lead V3R")
    got = read(save(tmp_path, dicom(one)))
    assert got.leads == ("I", "V1")
    assert got.meta["left_out"] == ("lead code 11",)
    np.testing.assert_allclose(got.signal[1], digital(("V1",))["V1"] * 2.5e-3, rtol=1e-6)


@pytest.mark.parametrize(("label", "originality"), [
    ("MEDIAN BEAT", "ORIGINAL"), ("Represent. beat", "DERIVED"), ("", "DERIVED"), ("Averaged", "ORIGINAL"),
])  # fmt: skip
def test_beats_are_no_recording_however_long(tmp_path, label, originality):
    beats = group(digital(samples=900), label=label, originality=originality)
    assert read(save(tmp_path, dicom(beats, group(digital())))).signal.shape == (12, 500)
    assert reason(save(tmp_path, dicom(beats), "only")) == "no_leads"


def test_several_rhythm_groups_need_a_choice_unless_one_includes_the_others(tmp_path):
    whole, part = group(digital()), group({"II": digital(samples=60)["II"]})
    assert read(save(tmp_path, dicom(part, whole))).signal.shape == (12, 500)
    path = save(tmp_path, dicom(group(digital(("I", "II"))), group(digital(("V1", "V2")))))
    assert reason(path) == "member"
    assert (read(f"{path}#2").leads, read(f"{path}#2").record_id) == (("V1", "V2"), "a#2")
    assert reason(save(tmp_path, dicom(whole, whole))) == "member"


def absent(keyword):
    return lambda item: delattr(item, keyword)


def value(keyword, new):
    return lambda item: setattr(item, keyword, new)


def channel(change):
    return lambda item: change(item.ChannelDefinitionSequence[1])


def mu_law(item):
    item.WaveformSampleInterpretation, item.WaveformBitsAllocated = "MB", 8


FAULTS = {
    "ten million samples": (value("NumberOfWaveformSamples", 10_000_000), "truncated"),
    "four billion samples": (value("NumberOfWaveformSamples", 2**32 - 1), "too_large"),
    "a sample more": (value("NumberOfWaveformSamples", 501), "truncated"),
    "a sample less": (value("NumberOfWaveformSamples", 499), "length"),
    "no length": (absent("NumberOfWaveformSamples"), "header"),
    "no data": (absent("WaveformData"), "truncated"),
    "no channels": (absent("ChannelDefinitionSequence"), "header"),
    "channel count": (value("NumberOfWaveformChannels", 13), "header"),
    "lead gone": (lambda item: item.ChannelDefinitionSequence.pop(), "header"),
    "lead twice": (channel(value("ChannelSourceSequence", coded("2:1", "MDC", "Lead I"))), "duplicate_lead"),
    "code against text": (channel(value("ChannelSourceSequence", coded("2:1", "MDC", "Lead V1"))), "header"),
    "unit": (channel(value("ChannelSensitivityUnitsSequence", coded("mm[Hg]", "UCUM", "mmHg"))), "unit"),
    "no unit": (channel(absent("ChannelSensitivityUnitsSequence")), "unit"),
    "no sensitivity": (channel(absent("ChannelSensitivity")), "gain"),
    "sensitivity 0": (channel(value("ChannelSensitivity", "0")), "gain"),
    "rate 0": (value("SamplingFrequency", "0"), "rate"),
    "no rate": (absent("SamplingFrequency"), "rate"),
    "skew": (channel(value("ChannelSampleSkew", "3")), "skew"),
    "time skew": (channel(value("ChannelTimeSkew", "0.01")), "skew"),
    "mu-law": (mu_law, "compressed"),
    "bits": (value("WaveformBitsAllocated", 12), "header"),
    "kind": (value("WaveformSampleInterpretation", "XX"), "header"),
}  # fmt: skip


@pytest.mark.parametrize("read_error", FAULTS)
def test_faults_have_names(tmp_path, read_error):
    one = group(digital())
    change, expected = FAULTS[read_error]
    change(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(tmp_path, dicom(one))
    assert reason(path) == expected


def test_files_without_a_readable_waveform(tmp_path):
    def drop(dataset):
        del dataset.WaveformSequence

    def image(dataset):
        drop(dataset)
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"

    def pdf(dataset):
        drop(dataset)
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"

    one = group(digital())
    assert reason(save(tmp_path, dicom(change=drop))) == "truncated"
    assert reason(save(tmp_path, dicom(change=image))) == "no_leads"
    assert reason(save(tmp_path, dicom(change=pdf))) == "no_leads"
    assert (
        reason(save(tmp_path, dicom(one, change=lambda d: setattr(d, "WaveformSequence", Sequence([]))))) == "truncated"
    )
    assert reason(save(tmp_path, dicom(one, syntax=DeflatedExplicitVRLittleEndian))) == "compressed"
    data = dicom(one)
    uid = b"1.2.840.10008.1.2.1\0"
    assert reason(save(tmp_path, data.replace(uid, b"1.2.840.10008.1.2.5\0", 1))) == "compressed", "run length"
    flood = data[:-8] + b"\xfe\xff\x00\xe0\0\0\0\0" * (MOST_ITEMS + 1)
    assert reason(save(tmp_path, flood)) == "header"
    large = save(tmp_path, data)
    with large.open("r+b") as stream:
        stream.truncate(LARGEST_DICOM + 1)
    assert reason(large) == "too_large"
    cuts = {end: reason(save(tmp_path, data[:end])) for end in range(1000, len(data), 501)}
    assert set(cuts.values()) <= {"truncated", "header", "unit"}
    assert cuts[max(cuts)] == "truncated"
    assert reason(save(tmp_path, b"\0" * 128 + b"DICM" + b"\xff" * 500)) in ("no_leads", "truncated")


def test_what_is_stated_wins(tmp_path):
    one = group(digital(("I", "II")))
    for item in one.ChannelDefinitionSequence:
        del item.ChannelSensitivityUnitsSequence
    path = save(tmp_path, dicom(one))
    got = read(path, overrides=MetadataOverrides(unit="uV", sampling_rate=1000.0))
    assert got.meta["overridden"] == ("sampling_rate",)
    np.testing.assert_allclose(got.signal[0], digital(("I",))["I"] * 2.5e-3, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    content = bytearray(dicom(group(digital(("I", "II"), samples=20))))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(1, 3))] = data.draw(st.binary(max_size=3))
    path = save(tmp_path_factory.mktemp("damaged"), bytes(content))
    try:
        got = read(path)
    except RecordingError as error:
        outcome = str(error)
    else:
        outcome = repr((got.leads, got.meta))
    assert leaked(outcome) == []


@pytest.mark.real
@pytest.mark.parametrize(("name", "shape", "rate"), [
    ("mortara.dcm", (12, 10_000), 1000), ("ge_muse_same_recording.dcm", (12, 5000), 500),
])  # fmt: skip
def test_real_files_against_pydicom(real_data, name, shape, rate):
    path = real_data / "vendor" / name
    got = read(path)
    assert (got.signal.shape, got.sampling_rate, got.leads) == (shape, rate, LEADS)
    np.testing.assert_allclose(got.signal, by_pydicom(path), rtol=1e-6, atol=1e-7)
    assert limb_residual(got.signal) < 0.01

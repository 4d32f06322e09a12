"""Tests of the GE MUSE reader: round trips, damaged files, and a real export compared with its DICOM version."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hospital_checks import anonymous, plant, reason, swap
from hospital_xml import EIGHT, PERSON, digital, muse
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS, arrange


def save(folder, text, name="a.xml", encoding="latin-1"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-32768, 32767), min_size=5, max_size=5), min_size=8, max_size=8),
    per_bit=st.sampled_from(["4.88", "1", "0.5", "2.441"]),
    rate=st.sampled_from([250, 500, 1000]),
)
def test_round_trip(tmp_path_factory, rows, per_bit, rate):
    leads = {name: np.array(row, dtype=np.int16) for name, row in zip(EIGHT, rows, strict=True)}
    path = save(tmp_path_factory.mktemp("muse"), muse(leads, rate=rate, per_bit=per_bit))
    got = read(path)
    assert (got.leads, got.sampling_rate, got.record_id) == (EIGHT, rate, "a")
    expected = np.stack(list(leads.values())).astype(np.float64) * float(per_bit) * 1e-3
    np.testing.assert_array_equal(got.signal, expected.astype(np.float32))


def test_twelve_stored_leads_and_millivolts(tmp_path):
    leads = digital()
    got = read(save(tmp_path, muse(leads, per_bit="0.005", units="MILLIVOLTS")))
    assert got.leads == LEADS
    np.testing.assert_allclose(got.signal, np.stack(list(leads.values())) * 0.005, rtol=1e-6)


def test_meta_holds_technical_facts_and_no_person(tmp_path):
    text = swap(
        muse(digital(EIGHT)),
        ("<LeadOff>FALSE", "<LeadOff>TRUE"),
        ("<FirstSampleBaseline>0<", "<FirstSampleBaseline>3<"),
        ("</RestingECG>", "<PaceSpikes><PaceSpike/><PaceSpike/></PaceSpikes></RestingECG>"),
    )
    got = read(save(tmp_path, text))
    anonymous(got)
    assert got.meta == {
        "format": "muse",
        "age": 90.0,
        "sex": "female",
        "device": "MAC55",
        "filters": {"high_pass": 0.16, "low_pass": 150.0},
        "leads_off": ("V6",),
        "pace_spikes": 2,
        "ignored": ("FirstSampleBaseline",),
    }


@pytest.mark.parametrize(
    ("age", "unit", "years"), [("18", "MONTHS", 1.5), ("200", "YEARS", None), ("x", "YEARS", None)]
)
def test_age(tmp_path, age, unit, years):
    text = muse(digital(("I", "II"))).replace(">93<", f">{age}<").replace(">YEARS<", f">{unit}<")
    assert read(save(tmp_path, text)).meta.get("age") == years


FAULTS = {
    "wrong CRC": ([(r"<LeadDataCRC32>(\d+)", r"<LeadDataCRC32>1\1")], "checksum"),
    "CRC no number": ([(r"<LeadDataCRC32>\d+", "<LeadDataCRC32>?")], "header"),
    "byte count": ([("<LeadByteCountTotal>1000<", "<LeadByteCountTotal>1002<")], "truncated"),
    "fewer bytes declared": ([("<LeadByteCountTotal>1000<", "<LeadByteCountTotal>998<")], "length"),
    "ten million samples": ([("<LeadSampleCountTotal>500<", "<LeadSampleCountTotal>10000000<")], "truncated"),
    "no base64": ([(r"<WaveFormData>\n..", "<WaveFormData>!!")], "content"),
    "base64 cut": ([(r".\n</WaveFormData>", "</WaveFormData>")], "truncated"),
    "lines lost": ([(r"\n[^<\n]+\n</WaveFormData>", "</WaveFormData>")], "truncated"),
    "no samples": ([(r"<WaveFormData>[^<]*<", "<WaveFormData><")], "truncated"),
    "lead gone": ([(r"<LeadData>(?:(?!<LeadData>).)*</LeadData>\n </Waveform>", "</Waveform>")], "header"),
    "lead twice": ([("<LeadID>V6<", "<LeadID>V5<")], "duplicate_lead"),
    "unit": ([("MICROVOLTS", "FURLONGS")], "unit"),
    "no unit": ([("MICROVOLTS", "")], "unit"),
    "gain 0": ([("UnitsPerBit>4.88<", "UnitsPerBit>0<")], "gain"),
    "gain no number": ([("UnitsPerBit>4.88<", "UnitsPerBit>inf<")], "header"),
    "sample size": ([("<LeadSampleSize>2<", "<LeadSampleSize>4<")], "header"),
    "rate 0": ([("<SampleBase>500<", "<SampleBase>0<")], "rate"),
    "no rate": ([("<SampleBase>500<", "<SampleBase><")], "rate"),
    "exponent": ([("<SampleExponent>0<", "<SampleExponent>400<")], "header"),
    "offset of one lead": ([("<LeadOffsetFirstSample>0<", "<LeadOffsetFirstSample>9<")], "skew"),
    "time of one lead": ([("<LeadTimeOffset>0<", "<LeadTimeOffset>9<")], "skew"),
    "only a median": ([("<WaveformType>Rhythm<", "<WaveformType>Median<")], "no_leads"),
    "no waveform": ([(r"<Waveform>.*</Waveform>", "")], "no_leads"),
    "no lead known": ([(r"<LeadID>\w+<", "<LeadID>X<")], "no_leads"),
    "two rhythms": ([("<WaveformType>Median<", "<WaveformType>Rhythm<"), ("<LeadID>V6<", "<LeadID>V3R<")], "member"),
    "other root": ([("RestingECG>", "RestingEKG>")], "format"),
}


@pytest.mark.parametrize("read_error", FAULTS)
def test_faults_have_names(tmp_path, read_error):
    """Each fault is inserted into the rhythm strip, which comes last."""
    text = muse(digital(EIGHT))
    changes, expected = FAULTS[read_error]
    for pattern, new in changes:
        everywhere = read_error in ("no lead known", "other root", "no waveform")
        text = plant(text, pattern, new, everywhere=everywhere)
    assert reason(save(tmp_path, text)) == expected


def test_counts_and_crc_may_be_left_out_or_signed(tmp_path):
    leads = digital(EIGHT)
    text = muse(leads)
    bare = re.sub(r"<(LeadDataCRC32|LeadByteCountTotal|LeadSampleCountTotal)>\d+</\1>", "", text)
    zero = re.sub(r"<LeadDataCRC32>\d+", "<LeadDataCRC32>0", text)
    signed = re.sub(r"<LeadDataCRC32>(\d+)", lambda m: f"<LeadDataCRC32>{(int(m[1]) + 2**31) % 2**32 - 2**31}", text)
    whole = read(save(tmp_path, text)).signal
    for other in (bare, zero, signed):
        np.testing.assert_array_equal(read(save(tmp_path, other)).signal, whole)


def test_one_changed_bit_is_noticed(tmp_path):
    text = muse(digital(EIGHT))
    place = text.rindex("<WaveFormData>") + 40
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    assert reason(save(tmp_path, changed)) == "checksum"


def test_names_with_ampersands_and_wrong_encodings_do_not_stop_it(tmp_path):
    text = muse(digital(EIGHT)).replace(PERSON["family"], f"{PERSON['family']} & Söhne")
    got = read(save(tmp_path, text))
    assert got.meta["repaired"] == ("ampersand",)
    got = read(save(tmp_path, text.replace("ISO-8859-1", "UTF-8")))
    assert got.meta["repaired"] == ("encoding", "ampersand")
    got = read(save(tmp_path, text.replace(" & ", " und ").replace("ISO-8859-1", "UTF-16"), encoding="utf-16"))
    assert "repaired" not in got.meta
    anonymous(got)


def test_one_of_several_strips_is_taken_where_it_includes_the_others(tmp_path):
    """The median beat is labelled as a rhythm strip; it is shorter and has the same leads."""
    leads = digital(EIGHT)
    text = muse(leads).replace(">Median<", ">Rhythm<")
    path = save(tmp_path, text)
    assert read(path).signal.shape == (8, 500)
    first = read(f"{path}#1")
    assert (first.signal.shape, first.record_id) == ((8, 60), "a#1")
    np.testing.assert_array_equal(read(f"{path}#2").signal, read(path).signal)
    for wrong in ("0", "3", "x", "-1", "٣", "1" * 30):
        assert reason(f"{path}#{wrong}") == "member"


def test_overrides_replace_the_file_and_are_reported(tmp_path):
    path = save(tmp_path, muse(digital(EIGHT)))
    names = ("II", *EIGHT[:1], *EIGHT[2:])
    got = read(path, overrides=MetadataOverrides(sampling_rate=250.0, unit="mV", leads=names))
    assert (got.sampling_rate, got.leads) == (250.0, names)
    assert set(got.meta["overridden"]) == {"sampling_rate", "unit", "leads"}
    np.testing.assert_allclose(got.signal, read(path).signal * 1000, rtol=1e-6)
    assert "overridden" not in read(path, overrides=MetadataOverrides(500.0, "uV", EIGHT)).meta
    assert reason(path, overrides=MetadataOverrides(leads=("I", "II"))) == "leads"


@pytest.mark.real
def test_equal_to_the_same_recording_in_dicom_to_half_a_step(real_data):
    """The file stores eight leads; the four derived ones are compared as well."""
    muse_file, dicom_file = (real_data / "vendor" / name for name in ("ge_muse.xml", "ge_muse_same_recording.dcm"))
    one, other = read(muse_file), read(dicom_file)
    assert (len(one.leads), len(other.leads)) == (8, 12)
    assert one.sampling_rate == other.sampling_rate == 500
    signals = [arrange(recording.signal, recording.leads)[0] for recording in (one, other)]
    steps = np.abs(signals[0] - signals[1]).max(axis=1) / 0.00488
    assert signals[0].shape == (12, 5000)
    assert steps.max() < 0.51, dict(zip(LEADS, steps, strict=True))
    stored = [LEADS.index(lead) for lead in EIGHT]
    np.testing.assert_array_equal(signals[0][stored], signals[1][stored])
    assert np.abs(signals[0]).max() > 0.5, "there is a signal to compare"

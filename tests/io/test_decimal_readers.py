"""Tests of the CardioSoft and Schiller readers (comma-separated whole numbers): round trips and damaged files."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hospital_checks import anonymous, plant, reason, swap
from hospital_xml import SCHILLER, cardiosoft, digital, schiller
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS

WRITERS = {"cardiosoft": (cardiosoft, 0.005, 500), "schiller": (schiller, 0.001, 1000)}


def save(folder, text, encoding="latin-1"):
    path = folder / "a.xml"
    path.write_bytes(text.encode(encoding))
    return path


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(WRITERS)),
    rows=st.lists(st.lists(st.integers(-32768, 32767), min_size=4, max_size=4), min_size=12, max_size=12),
)
def test_round_trip(tmp_path_factory, name, rows):
    write, step, rate = WRITERS[name]
    leads = {lead: np.array(row, dtype=np.int16) for lead, row in zip(LEADS, rows, strict=True)}
    got = read(save(tmp_path_factory.mktemp(name), write(leads)))
    assert (got.leads, got.sampling_rate, got.record_id) == (LEADS, rate, "a")
    np.testing.assert_allclose(got.signal, np.array(rows) * step, rtol=2e-7)


@pytest.mark.parametrize("layout", SCHILLER)
@pytest.mark.parametrize(("units", "millivolts"), [("UV", 0.0025), ("\u00b5V", 0.0025), ("MV", 2.5)])
def test_layouts_of_schiller_devices(tmp_path, layout, units, millivolts):
    got = read(save(tmp_path, schiller(digital(), rate=500, yres="2.5", units=units, layout=layout), "utf-8"))
    assert got.sampling_rate == 500
    np.testing.assert_allclose(got.signal, np.stack(list(digital().values())) * millivolts, rtol=2e-7)


def test_an_unknown_exponent_of_the_rate_is_not_guessed(tmp_path):
    text = swap(schiller(digital(), layout="AT-110"), ("<exponent>1<", "<exponent>2<"))
    assert reason(save(tmp_path, text)) == "rate"
    assert read(save(tmp_path, text), overrides=MetadataOverrides(500.0)).sampling_rate == 500


@pytest.mark.parametrize("name", WRITERS)
def test_meta_holds_technical_facts_and_no_person(tmp_path, name):
    got = read(save(tmp_path, WRITERS[name][0](digital())))
    anonymous(got)
    assert (
        got.meta
        == {
            "cardiosoft": {
                "format": "cardiosoft",
                "age": 90.0,
                "sex": "female",
                "device": "CardioSoft",
                "filters": {"low_pass": 100.0, "notch": 50.0},
            },
            "schiller": {"format": "schiller", "sex": "female", "device": "AT-102"},
        }[name]
    )


BOTH = {
    "lead twice": ([(r"V6(?=[\"<])", "V5")], "duplicate_lead"),
    "sample no number": ([(r",(-?\d+)(?=,?</)", r",\1?")], "content"),
    "sample left out": ([(r",(-?\d+)(?=,?</)", ",,7")], "content"),
    "sample absurd": ([(r",(-?\d+)(?=,?</)", f",{'9' * 300}")], "content"),
    "no samples": ([(r"(?<=[\">])\s*-?\d+,[^<]*(?=</(?:WaveformData|data))", "")], None),
    "resolution 0": ([(r">(5|1)(?=</(Resolution|value></yres))", ">0")], "gain"),
    "no resolution": ([(r">(5|1)(?=</(Resolution|value></yres))", ">")], "gain"),
    "unit": ([("uV", "mm")], "unit"),
    "no unit": ([("uV(perLsb)?", "")], "unit"),
    "rate 0": ([(r">(500|1000)(?=</(SampleRate|value></samplerate))", ">0")], "rate"),
    "no rate": ([(r">(500|1000)(?=</(SampleRate|value></samplerate))", ">")], "rate"),
    "unit of rate": ([('H[zZ](?=["<])', "ms")], "rate"),
    "no lead known": ([(r"(?<=lead=\")\w+|(?<=<name>)\w+", "X")], "no_leads"),
    "only a median": ([("StripData", "MedianSamples")], "no_leads"),
    "cut": ([(r"</(StripData|event)>.*", "")], "header"),
}
CARDIOSOFT = {
    "ten million samples": ([("Total>500<", "Total>10000000<")], "truncated"),
    "a sample more": ([(r",(-?\d+)(?=</)", r",\1,7")], "length"),
    "lead gone": ([(r"<WaveformData lead=\"V6\">[^<]*</WaveformData>", "")], "header"),
}
SCHILLER = {
    "lead shorter": ([(r",(-?\d+),(?=</data>)", ",")], "truncated"),
    "another form": ([("COMMASEPARATE", "BASE64")], "header"),
}
CASES = [
    (name, read_error) for name in WRITERS for read_error in BOTH if (name, read_error) != ("schiller", "only a median")
]
CASES += [("cardiosoft", read_error) for read_error in CARDIOSOFT] + [
    ("schiller", read_error) for read_error in SCHILLER
]


@pytest.mark.parametrize(("name", "read_error"), CASES)
def test_faults_have_names(tmp_path, name, read_error):
    """Each fault is inserted into the rhythm, which comes last, or everywhere."""
    text = WRITERS[name][0](digital())
    changes, expected = (BOTH | CARDIOSOFT | SCHILLER)[read_error]
    for pattern, new in changes:
        everywhere = read_error in ("no lead known", "unit of rate", "only a median", "no samples")
        text = plant(text, pattern, new, everywhere=everywhere)
    got = reason(save(tmp_path, text))
    assert got == (expected or "truncated")


@pytest.mark.parametrize("kind", ["ECG_AVERAGES", "OTHER"])
def test_schiller_averages_are_no_recording(tmp_path, kind):
    assert reason(save(tmp_path, swap(schiller(digital()), ("ECG_RHYTHMS", kind)))) == "no_leads"


def test_one_of_several_strips_needs_a_choice(tmp_path):
    text = cardiosoft(digital())
    strip = text[text.index("<StripData>") : text.index("</CardiologyXML>")]
    path = save(tmp_path, swap(text, ("</CardiologyXML>", strip + "</CardiologyXML>")))
    assert reason(path) == "member"
    assert read(f"{path}#2").signal.shape == (12, 500)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_stated_fills_gaps(tmp_path, name):
    text = re.sub(r"uV(perLsb)?", "", WRITERS[name][0](digital()))
    got = read(save(tmp_path, text), overrides=MetadataOverrides(unit="uV", sampling_rate=250.0))
    assert (got.sampling_rate, got.meta["overridden"]) == (250.0, ("sampling_rate",))


def test_encodings_of_cardiosoft(tmp_path):
    text = cardiosoft(digital(("I", "II"))).replace("CardioSoft<", "CardioSoft Ü<")
    assert read(save(tmp_path, text)).meta["device"] == "CardioSoft Ü"
    got = read(save(tmp_path, text.replace("ISO8859-1", "UTF-16"), "utf-16"))
    assert got.meta["device"] == "CardioSoft Ü"

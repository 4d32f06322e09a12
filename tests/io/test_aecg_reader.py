"""Tests of the HL7 annotated ECG reader: round trips, damaged files, and the example of the standard."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hospital_checks import anonymous, plant, reason, swap
from hospital_xml import aecg, digital
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS, arrange, canonical, limb_residual


def save(folder, text, name="a.xml"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def without_derived(text):
    """Return a document that ends with the rhythm series."""
    return re.sub(r"<h:derivation>.*?</h:derivation>", "", text, flags=re.DOTALL)


def expected(leads, step):
    return (np.stack(list(leads.values())) * step).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-99_999, 99_999), min_size=4, max_size=4), min_size=3, max_size=3),
    scale=st.sampled_from(["5", "2.5", "4.88", "-1"]),
    unit=st.sampled_from(["uV", "mV", "nV"]),
    increment=st.sampled_from(
        [('value="0.002" unit="s"', 500), ('value="4" unit="ms"', 250), ('value="1000" unit="us"', 1000)]
    ),
)
def test_round_trip(tmp_path_factory, rows, scale, unit, increment):
    leads = {name: np.array(row) for name, row in zip(("I", "II", "V6"), rows, strict=True)}
    text = aecg(leads, increment=increment[0], scale=scale, unit=unit)
    got = read(save(tmp_path_factory.mktemp("aecg"), text))
    assert [canonical(lead) for lead in got.leads] == list(leads)
    assert got.sampling_rate == increment[1]
    step = float(scale) * {"uV": 1e-3, "mV": 1.0, "nV": 1e-6}[unit]
    np.testing.assert_allclose(got.signal, expected(leads, step), rtol=3e-7, atol=1e-12)


def test_origin_in_a_unit_of_its_own(tmp_path):
    leads = digital(("I", "II"))
    text = swap(without_derived(aecg(leads)), ('<h:origin value="0" unit="uV"/>', '<h:origin value="0.25" unit="mV"/>'))
    got = read(save(tmp_path, text))
    np.testing.assert_allclose(got.signal[1], leads["II"] * 0.005 + 0.25, rtol=1e-6)
    np.testing.assert_allclose(got.signal[0], leads["I"] * 0.005, rtol=1e-6)


def test_meta_holds_technical_facts_and_no_person(tmp_path):
    got = read(save(tmp_path, aecg(digital())))
    anonymous(got)
    assert got.meta == {
        "format": "aecg",
        "age": 90.0,
        "sex": "female",
        "device": "ELI250",
        "filters": {"low_pass": 150.0},
    }
    assert got.signal.shape == (12, 500)


FAULTS = {
    "only beats": ([('code="RHYTHM"', 'code="REPRESENTATIVE_BEAT"')], "no_leads"),
    "two rhythms alike": ([("</h:AnnotatedECG>", "{same}</h:AnnotatedECG>")], "member"),
    "rhythms of other leads": (
        [("MDC_ECG_LEAD_III", "X"), ("</h:AnnotatedECG>", "{other}</h:AnnotatedECG>")],
        "member",
    ),
    "lead twice": ([("MDC_ECG_LEAD_V6", "MDC_ECG_LEAD_V5")], "duplicate_lead"),
    "no lead known": ([(r"MDC_ECG_LEAD_", "MDC_ECG_")], "no_leads"),
    "lead longer": ([("</h:digits>", " 1</h:digits>")], "length"),
    "digit no number": ([("</h:digits>", " ?</h:digits>")], "content"),
    "digit absurd": ([("</h:digits>", f" {'9' * 400}</h:digits>")], "content"),
    "no digits": ([(r"<h:digits>[^<]*<", "<h:digits><")], "length"),
    "no scale": ([(r"<h:scale[^>]*>", "")], "unit"),
    "scale 0": ([(r'<h:scale value="5"', '<h:scale value="0"')], "gain"),
    "scale no number": ([(r'<h:scale value="5"', '<h:scale value="1e999"')], "header"),
    "unit": ([(r'<h:scale value="5" unit="uV"', '<h:scale value="5" unit="mm"')], "unit"),
    "unit of origin": ([('<h:origin value="0" unit="uV"', '<h:origin value="3" unit="mm"')], "unit"),
    "increment 0": ([('<h:increment value="2"', '<h:increment value="0"')], "rate"),
    "unit of increment": ([('unit="ms"', 'unit="h"')], "rate"),
    "no increment": ([(r"<h:increment[^>]*>", "")], "rate"),
    "cut": ([(r"</h:digits>.*", "")], "header"),
}


def rhythm(text):
    """Return the component with the rhythm series."""
    return text[text.rindex("<h:component><h:series>") : text.rindex("</h:AnnotatedECG>")]


@pytest.mark.parametrize("read_error", FAULTS)
def test_faults_have_names(tmp_path, read_error):
    """Each fault is inserted into every series, or into the last, which is the rhythm."""
    leads = digital()
    text = without_derived(aecg(leads))
    changes, code = FAULTS[read_error]
    others = {"same": rhythm(text), "other": rhythm(aecg({"III": leads["III"][:90]}))}
    for pattern, new in changes:
        everywhere = read_error in ("no lead known", "unit of increment", "no increment", "increment 0")
        text = plant(text, pattern, new.format(**others), everywhere=everywhere)
    assert reason(save(tmp_path, text)) == code


def test_a_strip_that_includes_the_others_is_taken(tmp_path):
    leads = digital()
    text = aecg(leads)
    short = rhythm(aecg({"II": leads["II"][:90]}))
    path = save(tmp_path, swap(text, ("</h:AnnotatedECG>", f"{short}</h:AnnotatedECG>")))
    np.testing.assert_array_equal(read(path).signal, read(save(tmp_path, text, "b.xml")).signal)
    assert read(f"{path}#2").signal.shape == (1, 90)


def test_what_is_stated_wins(tmp_path):
    text = re.sub(r"<h:increment[^>]*>", "", aecg(digital(("I", "II"))))
    got = read(save(tmp_path, text), overrides=MetadataOverrides(sampling_rate=250.0, unit="mV"))
    assert (got.sampling_rate, got.meta["overridden"]) == (250.0, ("unit",))
    np.testing.assert_allclose(got.signal[0], digital(("I",))["I"] * 5.0, rtol=1e-6)


@pytest.mark.real
def test_the_example_of_the_standard_against_ecgdatakit(real_data):
    """The ten-second rhythm is read, not the derived beat."""
    parser = pytest.importorskip("ecgdatakit.parsing.parser")
    path = real_data / "vendor" / "hl7_aecg.xml"
    got = read(path)
    other = parser.FileParser.parse(path, units="mV")
    assert (got.signal.shape, got.sampling_rate) == ((12, 5000), 500)
    assert len(other.median_beats) == 12
    assert [canonical(lead) for lead in got.leads] == [lead.label for lead in other.leads]
    np.testing.assert_allclose(got.signal, np.stack([lead.samples for lead in other.leads]), rtol=1e-6, atol=1e-7)
    assert limb_residual(arrange(got.signal, got.leads)[0], LEADS) < 0.01

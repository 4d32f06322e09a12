"""Tests of the Sierra, SCP-ECG and Mortara readers: exact round trips, and errors that ecgdatakit does not detect."""

from __future__ import annotations

import base64
import re
import sys

import numpy as np
import pytest
from hospital_checks import anonymous, reason, swap
from hospital_xml import PERSON, digital, mortara
from hypothesis import given, settings
from hypothesis import strategies as st
from scp_files import scp
from sierra_files import pack_xli, sierra, unpack_xli

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.formats import identify
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.vendors.ecgdatakit_reader import LARGEST_SCP
from ecgssl.signal.leads import LEADS, limb_residual

WRITERS = {"sierra": sierra, "mortara": mortara, "scp": scp}


def save(folder, content, encoding="utf-8"):
    path = folder / "a"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def millivolts(leads, step):
    return (np.stack(list(leads.values())) * step).astype(np.float32)


@pytest.mark.parametrize("name", WRITERS)
def test_round_trip_and_no_person(tmp_path, name):
    leads = digital()
    path = save(tmp_path, WRITERS[name](leads))
    got = read(path)
    step, rate = {"sierra": (0.005, 500), "mortara": (1 / 400, 1000), "scp": (0.005, 500)}[name]
    assert (got.leads, got.sampling_rate, got.record_id) == (LEADS, rate, "a")
    np.testing.assert_allclose(got.signal, millivolts(leads, step), rtol=1e-6)
    anonymous(got)
    assert (got.meta["format"], got.meta["age"], got.meta["sex"]) == (name, 90.0, "female")


@pytest.mark.parametrize("name", WRITERS)
def test_without_the_extra_the_format_is_known_and_the_remedy_named(tmp_path, name, monkeypatch):
    path = save(tmp_path, WRITERS[name](digital()))
    for module in [m for m in sys.modules if m.split(".")[0] == "ecgdatakit"] or ["ecgdatakit"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "ecgdatakit", None)
    assert identify(path).name == name
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert caught.value.reason == "missing_extra"
    assert "pip install 'ecgssl[vendor]'" in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_rate_and_unit_overrides_replace_the_file(tmp_path, name):
    path = save(tmp_path, WRITERS[name](digital()))
    got = read(path, overrides=MetadataOverrides(sampling_rate=250.0, unit="uV"))
    assert got.meta["overridden"] == ("sampling_rate", "unit")
    np.testing.assert_allclose(got.signal, read(path).signal / 1000, rtol=1e-6)


@pytest.mark.parametrize("version", ["1.03", "1.04"])
@pytest.mark.parametrize("xli", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_sierra_versions_encodings_and_compression(tmp_path, version, xli, encoding):
    leads = digital(samples=120, seed=3)
    text = sierra(leads, version=version, xli=xli, rate=1000, resolution="2.5", spare=4 if xli else 0)
    got = read(save(tmp_path, text.replace("UTF-8", encoding.upper()), encoding))
    assert got.sampling_rate == 1000
    assert got.meta.get("unnamed_channels") == (4 if xli else None)
    np.testing.assert_allclose(got.signal, millivolts(leads, 0.0025), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.lists(st.integers(-4000, 4000), min_size=4, max_size=9), min_size=1, max_size=3))
def test_the_slow_unpacker_inverts_the_packer(rows):
    """Check of the reference decompressor for real files."""
    assert unpack_xli(pack_xli([np.array(row) for row in rows])) == rows


def pulse(rows, *, high=200, flat=60, width=100):
    """Append 0, 1 mV and 0 to every lead."""
    tail = np.concatenate([np.zeros(flat), np.full(width, high), np.zeros(40)]).astype(np.int16)
    return {name: np.concatenate([row, tail]) for name, row in rows.items()}


def test_a_calibration_pulse_is_removed_and_reported(tmp_path):
    rows = digital()
    got = read(save(tmp_path, sierra(pulse(rows), xli=False)))
    assert got.meta["calibration"] == pytest.approx(200 / 500)
    np.testing.assert_allclose(got.signal, millivolts(rows, 0.005), rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows,
        lambda rows: pulse(rows, high=120),
        lambda rows: pulse(rows, width=20),
        lambda rows: pulse(rows) | {"V6": np.append(rows["V6"], rows["V6"][:200])},
        lambda rows: {name: np.append(row, np.zeros(200, np.int16)) for name, row in rows.items()},
    ],
    ids=["none", "another height", "too short", "not in every lead", "silence"],
)
def test_nothing_is_cut_off_that_might_be_signal(tmp_path, change):
    rows = change(digital())
    got = read(save(tmp_path, sierra(rows, xli=False)))
    assert "calibration" not in got.meta
    assert got.signal.shape == (12, len(rows["I"]))


def chunked(text, change):
    """Return a document with another waveform content."""
    found = re.search(r"(<parsedwaveforms[^>]*>)([^<]*)<", text)
    data = change(base64.b64decode(found[2]))
    return text[: found.end(1)] + base64.b64encode(data).decode() + text[found.end(2) :]


def bomb(data):
    """Return a chunk that decompresses to more than a thousand times its size; each code stands for all before."""
    codes = [0, *range(256, 1023), *[1022] * 40_000]
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return len(packed).to_bytes(4, "little") + bytes(4) + packed


SIERRA = {
    "samples lost": (lambda t: chunked(t, lambda d: d[: len(d) // 2 - 3]), "truncated"),
    "last chunk lost": (lambda t: chunked(t, lambda d: d[: -int.from_bytes(d[:4], "little") - 8]), "unreadable"),
    "duration longer": (lambda t: swap(t, ('durationperchannel="1000"', 'durationperchannel="20000000"')), "truncated"),
    "duration shorter": (lambda t: swap(t, ('durationperchannel="1000"', 'durationperchannel="900"')), "length"),
    "duration absurd": (lambda t: swap(t, ('durationperchannel="1000"', 'durationperchannel="9e99"')), "too_large"),
    "no duration": (lambda t: swap(t, ('durationperchannel="1000"', "")), "header"),
    "no rate": (lambda t: swap(t, ("<samplingrate>500<", "<samplingrate><")), "rate"),
    "LZW nonsense": (lambda t: chunked(t, lambda d: d[:8] + b"\xff\x00" * 20 + d[48:]), "content"),
    "LZW bomb": (lambda t: chunked(t, bomb), "length"),
    "not base64": (lambda t: swap(t, ('nbitspersample="16">\n', 'nbitspersample="16">?')), "content"),
    "other compression": (lambda t: swap(t, ('compressmethod="XLI"', 'compressmethod="ZIP"')), "compressed"),
    "no resolution": (lambda t: swap(t, ("<signalresolution>5<", "<signalresolution><")), "gain"),
    "two waveforms": (lambda t: swap(t, ("</waveforms>", "<parsedwaveforms/></waveforms>")), "header"),
    "no waveform": (lambda t: re.sub(r"<parsedwaveforms.*</parsedwaveforms>", "", t, flags=re.DOTALL), "header"),
    "unknown version": (lambda t: swap(t, (">1.03<", ">9.99<")), "unreadable"),
    "entities": (lambda t: swap(t, ("<restingecgdata", '<!DOCTYPE r [<!ENTITY x "y">]><restingecgdata')), "entities"),
    "cut": (lambda t: t[: len(t) // 2], "header"),
}  # fmt: skip


@pytest.mark.parametrize("read_error", SIERRA)
def test_faults_of_sierra_have_names(tmp_path, read_error):
    change, expected = SIERRA[read_error]
    assert reason(save(tmp_path, change(sierra(digital())))) == expected


def test_plain_samples_of_another_count_than_declared(tmp_path):
    text = sierra(digital(), xli=False)
    assert reason(save(tmp_path, chunked(text, lambda d: d[:-2]))) == "length"
    assert reason(save(tmp_path, chunked(text, lambda d: d[: len(d) // 2]))) == "unreadable"
    got = read(save(tmp_path, chunked(text, lambda d: d + d[:1000])))
    assert got.meta["unnamed_channels"] == 1


MORTARA = {
    "no scale": (lambda t: t.replace('UNITS_PER_MV="400"', ""), "gain"),
    "other duration": (lambda t: swap(t, ('DURATION="500"', 'DURATION="10000000"')), "unreadable"),
    "lead twice": (lambda t: swap(t, ('NAME="V6"', 'NAME="V5"')), "duplicate_lead"),
    "no known lead": (lambda t: re.sub(r'NAME="\w+"', 'NAME="X"', t), "no_leads"),
    "another rate of one lead": (lambda t: swap(t, ('SAMPLE_FREQ="1000"', 'SAMPLE_FREQ="500"')), "rates"),
    "only a typical cycle": (lambda t: re.sub(r"<CHANNEL [^>]*>", "", t), "unreadable"),
    "not base64": (lambda t: swap(t, (' DATA="', ' DATA="?')), "unreadable"),
    "entities": (lambda t: swap(t, ("<ECG ", '<!DOCTYPE ECG [<!ENTITY x "y">]><ECG ')), "entities"),
}


@pytest.mark.parametrize("read_error", MORTARA)
def test_faults_of_mortara_have_names(tmp_path, read_error):
    change, expected = MORTARA[read_error]
    assert reason(save(tmp_path, change(mortara(digital())))) == expected


def test_an_undocumented_offset_is_reported(tmp_path):
    got = read(save(tmp_path, swap(mortara(digital()), ('OFFSET="0"', 'OFFSET="12"'))))
    assert got.meta["ignored"] == ("OFFSET",)


@pytest.mark.parametrize("huffman", [False, True])
def test_scp_with_and_without_huffman_code(tmp_path, huffman):
    leads = digital(("I", "II", "V1", "V2"), seed=5)
    got = read(save(tmp_path, scp(leads, huffman=huffman, nanovolts=2500, interval=1000)))
    assert (got.sampling_rate, got.leads) == (1000, tuple(leads))
    assert got.meta["filters"] == {"high_pass": 0.05, "low_pass": 150.0}
    np.testing.assert_allclose(got.signal, millivolts(leads, 0.0025), rtol=1e-6)


def test_leads_of_scp_that_begin_later_are_nan_before(tmp_path):
    leads = digital(("I", "II", "V1"), samples=100)
    got = read(save(tmp_path, scp(leads, starts={"V1": 101})))
    assert got.signal.shape == (3, 200)
    assert np.isnan(got.signal[2, :100]).all()
    assert np.isnan(got.signal[:2, 100:]).all()
    np.testing.assert_allclose(got.signal[2, 100:], leads["V1"] * 0.005, rtol=1e-6)
    np.testing.assert_allclose(got.signal[0, :100], leads["I"] * 0.005, rtol=1e-6)


@pytest.mark.parametrize(("huffman", "last_is_count"), [(False, True), (False, False), (True, True)])
def test_leads_of_scp_that_are_counted_from_sample_0(tmp_path, huffman, last_is_count):
    leads = digital(("I", "II", "V1"), samples=100)
    data = scp(leads, huffman=huffman, first=0, last_is_count=last_is_count, starts={"V1": 20})
    got = read(save(tmp_path, data))
    assert got.signal.shape == (3, 120)
    np.testing.assert_allclose(got.signal[:2, :100], millivolts({n: leads[n] for n in ("I", "II")}, 0.005), rtol=1e-6)
    np.testing.assert_allclose(got.signal[2, 20:], leads["V1"] * 0.005, rtol=1e-6)
    assert got.meta["repaired"] == ("first_sample",)
    # a wrong checksum is still found
    assert (
        reason(save(tmp_path, put(data, section(data, 6) + 100, bytes([data[section(data, 6) + 100] ^ 1]))))
        == "checksum"
    )
    assert reason(save(tmp_path, put(data, section(data, 3) + 1, bytes([data[section(data, 3) + 1] | 1])))) == "header"


def put(data, place, value):
    return data[:place] + value + data[place + len(value) :]


def section(data, number):
    """Return the start of the body of a section."""
    pointer = 22 + 10 * number
    return int.from_bytes(data[pointer + 6 : pointer + 10], "little") - 1 + 16


SCP = {
    "cut": (lambda d: d[:-100], "truncated"),
    "one bit": (lambda d: put(d, len(d) - 9, bytes([d[-9] ^ 1])), "checksum"),
    "ten million samples": (lambda d: put(d, section(d, 3) + 6, (10_000_000).to_bytes(4, "little")), "truncated"),
    "four billion samples": (lambda d: put(d, section(d, 3) + 6, b"\xff" * 4), "too_large"),
    "a sample less": (lambda d: put(d, section(d, 3) + 6, (499).to_bytes(4, "little")), "length"),
    "no leads": (lambda d: put(d, section(d, 3), b"\0"), "header"),
    "more leads": (lambda d: put(d, section(d, 3), b"\xff"), "header"),
    "no section 6": (lambda d: put(d, 22 + 10 * 6 + 2, bytes(8)), "header"),
    "section outside": (lambda d: put(d, 22 + 10 * 6 + 6, b"\xff" * 4), "header"),
}


@pytest.mark.parametrize("read_error", SCP)
def test_faults_of_scp_have_names(tmp_path, read_error):
    change, expected = SCP[read_error]
    assert reason(save(tmp_path, change(scp(digital())))) == expected


def test_scp_without_scale_or_with_a_lead_twice(tmp_path):
    assert reason(save(tmp_path, scp(digital(), nanovolts=0))) == "gain"
    rows = digital(("I", "II"))
    data = scp(rows)
    twice = put(data, section(data, 3) + 2 + 9 + 8, b"\1")
    assert reason(save(tmp_path, twice)) == "checksum", "the sum is looked at first"
    large = save(tmp_path, scp(rows) + bytes(LARGEST_SCP))
    assert reason(large) == "too_large"


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(WRITERS)), data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, name, data):
    written = WRITERS[name](digital(samples=20))
    content = bytearray(written if isinstance(written, bytes) else written.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(1, 3))] = data.draw(st.binary(max_size=3))
    try:
        got = read(save(tmp_path_factory.mktemp("damaged"), bytes(content)))
    except RecordingError as error:
        outcome = str(error)
    else:
        outcome = repr((got.leads, got.meta))
    assert PERSON["family"] not in outcome
    assert PERSON["id"] not in outcome


@pytest.mark.real
def test_real_sierra_file_against_a_plain_unpacker(real_data):
    """Every sample is equal; limb leads satisfy their equations after the calibration pulse is removed."""
    path = real_data / "vendor" / "philips_sierra_1_03.xml"
    got = read(path)
    encoded = re.search(rb"<parsedwaveforms[^>]*>([^<]*)<", path.read_bytes())[1]
    rows = np.array(unpack_xli(base64.b64decode(encoded)))
    assert rows.shape == (16, 5500)
    one, two = rows[:2]
    three = two - one - rows[2]
    limb = [one, two, three, -rows[3] - (one + two) // 2, (one - three) // 2 - rows[4], (two + three) // 2 - rows[5]]
    expected = np.stack([*limb, *rows[6:12]]) * 0.005
    assert got.signal.shape == (12, 5264)
    np.testing.assert_allclose(got.signal, expected[:, :5264], rtol=1e-6, atol=1e-7)
    assert set(np.unique(expected[:, 5264:])) == {0.0, 1.0}
    assert (expected[:, 5263] != expected[0, 5263]).any()
    assert got.meta["calibration"] == pytest.approx(236 / 500)
    assert got.meta["unnamed_channels"] == 4
    assert limb_residual(got.signal) < 0.02
    assert limb_residual(expected.astype(np.float32)) > 0.5

"""Tests of the WFDB reader: comparison with the package wfdb, and damaged records."""

from __future__ import annotations

import pickle
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb_files import noise, write_record

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.wfdb.header import parse_header
from ecgssl.io.wfdb.reader import header_path, read_wfdb
from ecgssl.signal.leads import LEADS

UNITS = {"mV": 1.0, "MV": 1.0, "uV": 1e-3, "UV": 1e-3, "V": 1e3, "v": 1e3}


def by_wfdb(path: Path, names: tuple[str, ...], scale: float = 1.0) -> np.ndarray:
    values, fields = wfdb.rdsamp(str(path))
    return values[:, [fields["sig_name"].index(name) for name in names]].T * scale


def reason(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert str(caught.value.problems[0].remedy)
    return caught.value.reason


@settings(max_examples=25, deadline=None)
@given(
    gain=st.floats(0.5, 1e5).map(lambda g: float(f"{g:.4f}")),
    baseline=st.none() | st.integers(-(2**26), 2**26),
    unit=st.sampled_from(sorted(UNITS)),
    values=st.lists(st.integers(-32768, 32767), min_size=3, max_size=30),
    first=st.sampled_from(LEADS),
    rate=st.sampled_from(["100", "500", "257.5", "1000"]),
    comment=st.text(st.characters(codec="ascii", min_codepoint=32), max_size=30),
    slashes=st.sampled_from(["/", "//"]),
)
def test_agrees_with_wfdb_on_any_calibration(gain, baseline, unit, values, first, rate, comment, slashes):
    digital = np.array([values, values[::-1]], dtype=np.int16)
    names = (first, "spare")
    text = f"{gain}{'' if baseline is None else f'({baseline})'}{slashes}{unit}"
    with tempfile.TemporaryDirectory() as folder:
        path = write_record(Path(folder), "a-1", digital, names, gain=text, rate=rate, comments=f"#{comment}\n")
        got = read_wfdb(path)
        expected = by_wfdb(path, (first,), UNITS[unit])
    assert got.leads == (first,)
    assert got.sampling_rate == float(rate)
    np.testing.assert_allclose(got.signal, expected, rtol=4e-7, atol=1e-30)
    assert np.isnan(got.signal).sum() == values.count(-32768)
    assert set(got.meta) <= {"format", "age", "sex", "left_out"}


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from(["a 2 500 10", "a.dat 16", "~", "a/2 2 5", "b 5", "#x", "\0"])).map("\n".join)
)
def test_any_text_is_a_header_or_a_named_error(text):
    try:
        parse_header(text, Path("x.hea"))
    except RecordingError as error:
        if error.reason != "header":
            raise


def test_channels_that_are_no_leads_are_left_out_with_their_file(tmp_path):
    digital = noise(2, 50)
    path = write_record(tmp_path, "p", digital, ("i", "v1"), rate=1000)
    hea = path.with_suffix(".hea")
    lines = hea.read_text().splitlines()
    lines[0] = "p 4 1000 50"
    hea.write_text("\n".join([*lines, "p.xyz 16 2000 16 0 0 0 0 vx", "p.xyz 16 0/bpm 16 0 0 0 0 resp"]))
    assert read(path).leads == ("i", "v1")


def test_path_may_carry_a_suffix_and_meta_is_safe(tmp_path):
    comments = "# <subject_id>: 12177274\n#Age: 97\n# sex: F\n# ECG date: 01/10/1990\n"
    path = write_record(tmp_path, "x.y", noise(), comments=comments, suffix="mat")
    for suffix in ("", ".hea", ".mat"):
        got = read(Path(f"{path}{suffix}"), patient_id="p")
        assert (got.record_id, got.patient_id) == ("x.y", "p")
        assert got.meta == {"format": "wfdb", "sex": "female", "age": 90.0}
    assert header_path("a/b.c") == Path("a/b.c.hea")


def test_record_name_may_differ_from_file_name(tmp_path):
    path = write_record(tmp_path, "JS23074", noise())
    path.with_suffix(".hea").rename(tmp_path / "S23074.hea")
    assert read(tmp_path / "S23074").record_id == "S23074"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(-24, "truncated"), (-5, "truncated"), (-120_000, "truncated"), (24, "length"), (1, "length")],
)
def test_signal_file_of_another_size(tmp_path, size, expected):
    path = write_record(tmp_path, "r", noise())
    data = path.with_suffix(".dat").read_bytes()
    path.with_suffix(".dat").write_bytes(data[:size] if size < 0 else data + bytes(size))
    assert reason(path) == expected


def test_header_without_length_takes_whole_frames_only(tmp_path):
    path = write_record(tmp_path, "r", noise(samples=50))
    hea = path.with_suffix(".hea")
    hea.write_text(hea.read_text().replace("12 500 50\n", "12 500\n"))
    assert read(path).signal.shape == (12, 50)
    path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:-3])
    assert reason(path) == "truncated"


def test_one_altered_sample_is_noticed(tmp_path):
    path = write_record(tmp_path, "r", noise())
    data = bytearray(path.with_suffix(".dat").read_bytes())
    data[1000] ^= 4
    path.with_suffix(".dat").write_bytes(data)
    assert reason(path) == "checksum"
    assert reason(write_record(tmp_path, "s", noise(), checksum=False)) == "checksum"


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ("1000/bpm", "unit"),
        ("1000(0)/mmHg", "unit"),
        ("0/mV", "gain"),
        ("0.0(5)/mV", "gain"),
        ("1e-300/mV", "gain"),
        ("1e300/mV", "gain"),
        ("abc", "header"),
        ("1e999/mV", "header"),
    ],
)
def test_calibration_that_cannot_be_used(tmp_path, gain, expected):
    assert reason(write_record(tmp_path, "r", noise(), gain=gain)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("r 12 500 5000\n", "r 12 500 5000 ", "header"),  # JS01052: record line and first signal line merged
        ("r 12 500 5000\n", "r 13 500 5000\n", "header"),
        ("r 12 500 5000\n", "r\n", "header"),
        ("r 12 500 5000\n", "r 12\n", "rate"),
        ("r 12 500 5000\n", "r 12 0 5000\n", "header"),
        ("r 12 500 5000\n", "r 12 500 -5\n", "header"),
        ("r.dat 16 ", "../r.dat 16 ", "header"),
        ("r.dat 16 ", "/etc/passwd 16 ", "header"),
        ("r.dat 16 ", "absent.dat 16 ", "missing_file"),
        ("r.dat 16 ", "r.dat 99 ", "header"),
        ("r.dat 16 ", "r.dat x ", "header"),
        (" 0 V6\n", " 0 V5\n", "duplicate_lead"),
    ],
)
def test_header_that_cannot_be_used(tmp_path, old, new, expected):
    path = write_record(tmp_path, "r", noise())
    hea = path.with_suffix(".hea")
    assert old in hea.read_text()
    hea.write_text(hea.read_text().replace(old, new))
    assert reason(path) == expected


def test_files_that_are_none(tmp_path):
    assert reason(tmp_path / "absent") == "missing_file"
    (tmp_path / "empty.hea").write_text("")
    assert reason(tmp_path / "empty") == "header"
    (tmp_path / "binary.hea").write_bytes(bytes(100))
    assert reason(tmp_path / "binary") == "header"
    (tmp_path / "page.pdf").write_text("no ECG")
    assert reason(tmp_path / "page.pdf") == "format"
    assert reason(write_record(tmp_path, "frank", noise(3), ("vx", "vy", "vz"))) == "no_leads"
    with pytest.raises(RecordingError) as caught:
        read(tmp_path / "absent")
    error = caught.value
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.reason, copy.problems) == (error.reason, error.problems)


def test_names_with_a_folder_are_explained(tmp_path):
    """PTB-XL+ names its median beats with the folder of the release."""
    path = write_record(tmp_path, "00001_medians", noise())
    header = path.with_name("00001_medians.hea")
    text = header.read_text()
    for changed in (
        re.sub("(?m)^00001", "ge_median_beats_wfdb/00001", text),
        text.replace("00001_medians 12", "ge_median_beats_wfdb/00001_medians 12", 1),
        text.replace("00001_medians.dat", "../00001_medians.dat", 1),
    ):
        header.write_text(changed)
        with pytest.raises(RecordingError, match="is named with a folder") as caught:
            read_wfdb(path)
        assert caught.value.reason == "header"
        assert "median beats of PTB-XL+" in str(caught.value)

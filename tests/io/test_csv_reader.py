"""Tests of the CSV reader: spreadsheet dialects, damaged tables, and text that is not a table of samples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.files.csv_header import is_sample_table, parse_columns
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS

RATE = MetadataOverrides(500.0)


def signal(samples: int = 100) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (12, samples)).round(4)


def table(values: np.ndarray, names: list[str], delimiter: str = ",", comma: bool = False, end: str = "\n") -> str:
    rows = [delimiter.join("" if np.isnan(v) else f"{v:g}" for v in column) for column in values.T]
    return end.join([delimiter.join(names), *(row.replace(".", ",") if comma else row for row in rows)]) + end


def write(folder: Path, text: str | bytes, name: str = "r.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def reason(path: Path, overrides: MetadataOverrides = RATE) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=overrides)
    assert caught.value.problems[0].remedy
    return caught.value.reason


@pytest.mark.parametrize(("delimiter", "comma"), [(",", False), (";", False), (";", True), ("\t", False)])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_dialects(tmp_path, delimiter, comma, end):
    names = [f"{lead} (mV)" for lead in LEADS]
    path = write(tmp_path, b"\xef\xbb\xbf" + table(signal(), names, delimiter, comma, end).encode(), "r.txt")
    got = read(path, overrides=RATE)
    np.testing.assert_array_equal(got.signal, signal().astype(np.float32))
    assert (got.leads, got.sampling_rate, got.record_id) == (LEADS, 500.0, "r")
    assert got.meta == {"format": "csv"}


def test_units_in_the_header_row(tmp_path):
    names = ["I [uV]", '"II (V)"', "V1 (µV)", "resp", "V2(mV)"]
    values = signal()[:5]
    want = (values[[0, 1, 2, 4]].T * [1e-3, 1e3, 1e-3, 1]).T
    for encoding in ("utf-8", "latin-1"):
        path = write(tmp_path, table(values, names).encode(encoding))
        got = read(path, overrides=RATE)
        assert got.leads == ("I", "II", "V1", "V2")
        np.testing.assert_allclose(got.signal, want, rtol=1e-6)
    assert reason(path, NO_OVERRIDES) == "rate"
    assert read(path, overrides=MetadataOverrides(500.0, "mV")).meta["overridden"] == ("unit",)
    path = write(tmp_path, table(values, ["I", "II", "V1 (bpm)", "x", "y"]))
    assert reason(path) == "unit"
    overrides = MetadataOverrides(500.0, "uV", ("V1", "V2", "V3", "V4", "V5"))
    assert read(path, overrides=overrides).leads == overrides.leads


def clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:06.3f}"


RDSAMP = {
    "minutes": ("'Elapsed time'", "'mm:ss.mmm'", lambda i: f"'{clock(i / 250)}'"),
    "hours": ("'Elapsed time'", "'hh:mm:ss.mmm'", lambda i: f"'0:{clock(i / 250)}'"),
    "seconds": ("'Elapsed time'", "'seconds'", lambda i: f"{i / 250:.3f}"),
    "numbers": ("'sample #'", "'0.004 sec'", str),
}


@pytest.mark.parametrize("form", RDSAMP)
def test_layouts_of_rdsamp(tmp_path, form):
    """A second row of units, quotes, and elapsed times or sample numbers."""
    name, unit, cell = RDSAMP[form]
    values = signal(20_000)
    head = [",".join([name, *(f"'{lead.lower()}'" for lead in LEADS)]), ",".join([unit, *["'uV'"] * 12])]
    rows = [f"{cell(i)},{','.join(f'{v:.4f}' for v in column)}" for i, column in enumerate(values.T)]
    got = read(write(tmp_path, "\n".join([*head, *rows]) + "\n"))
    assert (got.sampling_rate, got.leads) == (250.0, tuple(lead.lower() for lead in LEADS))
    np.testing.assert_allclose(got.signal, values / 1000, rtol=1e-6)


def test_a_row_of_units(tmp_path):
    values = signal()[:2]
    rows = "\n".join(f"{4 * i};{a:g};{b:g}".replace(".", ",") for i, (a, b) in enumerate(values.T))
    got = read(write(tmp_path, f"time;I;II\nms;[µV];mV\n{rows}\n".encode("latin-1")))
    assert got.sampling_rate == 250.0
    np.testing.assert_allclose(got.signal, values * [[1e-3], [1]], rtol=1e-6)
    assert reason(write(tmp_path, f"time;I;II\nms;mmHg;mmHg\n{rows}\n")) == "format"


def test_times_with_a_gap_or_without_form(tmp_path):
    head = "time,I (mV),II (mV)\n"
    rows = [f"{clock(i / 100)},{i},1" for i in range(50)]
    assert read(write(tmp_path, head + "\n".join(rows))).sampling_rate == 100
    assert reason(write(tmp_path, head + "\n".join(rows[:20] + rows[21:]))) == "rate"
    assert reason(write(tmp_path, head + "\n".join([*rows, "later,1,1"]))) == "content"


def test_no_value(tmp_path):
    values = signal()
    values[3, 10:20] = np.nan
    text = table(values, [f"{lead} (mV)" for lead in LEADS]).replace(f"{values[0, 5]:g},", "NaN,", 1)
    got = read(write(tmp_path, text), overrides=RATE).signal
    assert np.isnan(got).sum() == 11
    assert np.isnan(got[3, 10:20]).all()


@pytest.mark.parametrize(
    ("name", "unit", "rate", "digits", "want"),
    [
        ("time (s)", 1.0, 500, 6, 500.0),
        ("time_s", 1.0, 257, 3, 257.0),
        ("Time [ms]", 1e-3, 360, 3, 360.0),
        ("t_ms", 1e-3, 1000, 0, 1000.0),
        ("t (seconds)", 1.0, 128.5, 6, 128.5),
    ],
)
def test_the_rate_follows_from_times(tmp_path, name, unit, rate, digits, want):
    times = (3.5 + np.arange(2000) / rate) / unit
    text = "\n".join([f"{name},I (mV),II (mV)", *(f"{t:.{digits}f},0.1,{i % 7}" for i, t in enumerate(times))])
    path = write(tmp_path, text)
    got = read(path)
    assert got.sampling_rate == pytest.approx(want, rel=1e-4)
    assert got.sampling_rate == want or want == 128.5
    assert got.leads == ("I", "II")
    assert "overridden" not in got.meta
    assert read(path, overrides=MetadataOverrides(want * 2)).meta["overridden"] == ("sampling_rate",)
    lines = text.split("\n")
    for wrong in (
        lines[:50] + lines[51:],
        lines[:50] + lines[49:],
        [lines[0], *lines[:0:-1]],
        lines[:1] + lines[1:2] * 9,
    ):
        assert reason(write(tmp_path, "\n".join(wrong))) == "rate"


def test_times_without_unit_tell_no_rate(tmp_path):
    path = write(tmp_path, "time,I (mV)\n0,1\n2,2\n4,3\n")
    assert reason(path, NO_OVERRIDES) == "rate"
    assert read(path, overrides=RATE).sampling_rate == 500
    assert reason(write(tmp_path, "time_s,I (mV)\n0,1\n,2\n4,3\n")) == "rate"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I (mV),II (mV)\n1,2\n3\n5,6\n", "truncated"),
        ("I (mV),II (mV)\n1,2\n3,4,5\n5,6\n", "truncated"),
        ("I (mV),II (mV)\n1,2\n3\n5,6,7\n", "content"),
        ("I (mV),II (mV)\n1,2\n3,x\n5,6\n", "content"),
        ("I (mV),II (mV)\n1,2\n3,0x10\n5,6\n", "content"),
        ("I (mV);II (mV)\n1,5;2.5\n3;4\n5;6\n", "content"),
        ("I (mV),II (mV)\n1,2\n3,True\n5,6\n", "content"),
        ("I (mV),II (mV)\n1,2\n\n5,6\n", "truncated"),
        ("I (mV),II (mV)\n", "length"),
        ("I (mV),i (mV)\n1,2\n", "duplicate_lead"),
    ],
)
def test_tables_that_are_damaged(tmp_path, text, expected):
    assert reason(write(tmp_path, text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"record_id,path,I,II\n1,2,3,4\n",
        b"record_id;path;V1\na;b.dat;1\n",
        b"PATH,V1\n3,4\n",
        b"ecg_id,age,AF\n1,2,3\n",
        b"I,II\nanna,bert\n",
        b"I,II\n1,2\n3,\0\n",
        b"GIF\x01,II\n1,2\n",
        b"I" * 5000 + b",II\n1,2\n",
        b"",
        b"\n",
        b"1,2,3\n4,5,6\n",
    ],
)
def test_what_is_no_table_of_samples(tmp_path, text):
    assert not is_sample_table(text)
    assert reason(write(tmp_path, text)) == "format"


def test_a_recording_of_one_lead(tmp_path):
    got = read(write(tmp_path, "II\n1\n\n3\n"), overrides=MetadataOverrides(500.0, "mV"))
    np.testing.assert_array_equal(got.signal, np.array([[1, np.nan, 3]], np.float32))


def test_garbage_behind_a_good_beginning(tmp_path):
    text = table(signal(), [f"{lead} (mV)" for lead in LEADS]).encode()
    noise = np.random.default_rng(1).integers(0, 256, 5000).astype(np.uint8).tobytes()
    assert reason(write(tmp_path, text + noise)) in ("truncated", "content")


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from([*LEADS, "resp", "HR"]), min_size=1, max_size=12, unique=True),
    rows=st.integers(1, 20),
    delimiter=st.sampled_from(",;\t"),
    unit=st.sampled_from(["mV", "uV", "V"]),
    data=st.data(),
)
def test_any_table_comes_back(names, rows, delimiter, unit, data):
    values = (
        np.array(
            data.draw(st.lists(st.integers(-9999, 9999), min_size=rows * len(names), max_size=rows * len(names)))
        ).reshape(len(names), rows)
        / 1000
    )
    text = table(values, [f"{name} ({unit})" for name in names], delimiter, comma=delimiter == ";")
    leads = [i for i, name in enumerate(names) if name in LEADS]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), text)
        if not leads:
            assert reason(path) == "format"
            return
        got = read(path, overrides=RATE)
    factor = {"mV": 1.0, "uV": 1e-3, "V": 1e3}[unit]
    np.testing.assert_allclose(got.signal, values[leads] * factor, rtol=1e-6, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_table_or_not(data):
    assert isinstance(is_sample_table(data), bool)
    parse_columns(data.decode("latin-1"))

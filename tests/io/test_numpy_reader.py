"""Tests of the NumPy readers: saved arrays, inconsistent files, and files with pickled objects."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.formats import identify
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS

STATED = MetadataOverrides(250.0, "mV", LEADS)


def signals(count: int = 3, samples: int = 200) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (count, 12, samples)).astype(np.float32)


def reason(path: Path | str, overrides: MetadataOverrides = STATED) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=overrides)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["f2", "f4", ">f8", "i2", "u1", "i8"])
@pytest.mark.parametrize("turned", [False, True])
def test_one_recording(tmp_path, kind, turned):
    values = (signals()[0] * 20 + 100).astype(kind)
    np.save(tmp_path / "a.npy", values.T if turned else values)
    got = read(tmp_path / "a.npy", overrides=STATED)
    np.testing.assert_array_equal(got.signal, values.astype(np.float32))
    assert (got.record_id, got.sampling_rate, got.meta) == ("a", 250.0, {"format": "npy"})
    assert identify(tmp_path / "a.npy").list_members(tmp_path / "a.npy") == ()


@pytest.mark.parametrize("shape", [(3, 12, 200), (3, 200, 12), (3, 1, 200, 12), (3, 1, 12, 200)])
def test_many_recordings(tmp_path, shape):
    """EchoNext has (recordings, 1, samples, leads)."""
    values = signals()
    turned = values.transpose(0, 2, 1) if shape[-1] == 12 else values
    np.save(tmp_path / "a.npy", turned.reshape(shape))
    (tmp_path / "a.npy").rename(tmp_path / "a.bin")
    path = tmp_path / "a.bin"
    assert identify(path).list_members(path) == ("0", "1", "2")
    for row in range(3):
        got = read(f"{path}#{row}", overrides=STATED)
        np.testing.assert_array_equal(got.signal, values[row])
        assert got.record_id == str(row)
    for absent in ("3", "-1", "1.0", "x", "", "²"):
        assert reason(f"{path}#{absent}") == "member"
    assert reason(path) == "member"


def test_a_list_of_one_is_a_recording(tmp_path):
    np.save(tmp_path / "a.npy", signals(1))
    assert read(tmp_path / "a.npy", overrides=STATED).record_id == "a"
    assert read(f"{tmp_path}/a.npy#0", overrides=STATED).record_id == "0"
    assert identify(tmp_path / "a.npy").list_members(tmp_path / "a.npy") == ()


def test_everything_must_be_stated(tmp_path):
    np.save(tmp_path / "a.npy", signals()[0])
    for overrides, expected, column in (
        (NO_OVERRIDES, "no_leads", "leads"),
        (MetadataOverrides(leads=LEADS), "rate", "sampling_rate"),
        (MetadataOverrides(250.0, leads=LEADS), "unit", "units"),
        (MetadataOverrides(250.0, "mV", LEADS[:8]), "leads", "leads"),
    ):
        with pytest.raises(RecordingError) as caught:
            read(tmp_path / "a.npy", overrides=overrides)
        assert caught.value.reason == expected
        assert f"column {column} of a manifest" in caught.value.problems[0].remedy
    np.save(tmp_path / "a.npy", np.ones((12, 12)))
    assert reason(tmp_path / "a.npy") == "leads"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ones(50), "content"),
        (np.ones((2, 2, 3, 50)), "content"),
        (np.ones((1, 1, 1, 12, 50)), "content"),
        (np.ones((12, 50), complex), "content"),
        (np.full((12, 50), "a"), "content"),
        (np.zeros((12, 50), [("x", "f4")]), "content"),
        (np.ones((12, 50), bool), "content"),
    ],
)
def test_arrays_that_are_no_recording(tmp_path, array, expected):
    np.save(tmp_path / "a.npy", array)
    assert reason(tmp_path / "a.npy") == expected


def header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 10000000000000)}\n"), "unreadable"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}\n"), "unreadable"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, -5)}\n"), "unreadable"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 5)}\n", bytes(239)), "unreadable"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 5)}\n", bytes(241)), "length"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (12, 5)}\n", bytes(480)), "unreadable"),
        (header("__import__('os').system('true')\n"), "unreadable"),
        (header("(" * 9000), "unreadable"),
        (b"\x93NUMPY", "unreadable"),
    ],
)
def test_files_that_lie(tmp_path, data, expected):
    (tmp_path / "a.npy").write_bytes(data)
    assert reason(tmp_path / "a.npy") == expected


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}] * 12] * 50, dtype=object), allow_pickle=True)
    assert reason(tmp_path / "a.npy") == "unreadable"
    np.savez(tmp_path / "a.npz", signal=np.array([[{}] * 12] * 50, dtype=object))
    assert reason(tmp_path / "a.npz") == "content"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_says_what_it_holds(tmp_path, save):
    values = np.asfortranarray(signals()[0])
    with (tmp_path / "r.bin").open("wb") as stream:
        save(stream, signal=values, sampling_rate=500, leads=np.array(LEADS), unit="uV", other=np.ones(10**5))
    got = read(tmp_path / "r.bin")
    np.testing.assert_array_equal(got.signal, (values.astype(float) * 1e-3).astype(np.float32))
    assert (got.sampling_rate, got.leads, got.meta) == (500.0, LEADS, {"format": "npz"})
    assert read(tmp_path / "r.bin", overrides=STATED).meta["overridden"] == ("sampling_rate", "unit")
    assert reason(f"{tmp_path}/r.bin#0") == "member"


def test_npz_that_says_less(tmp_path):
    np.savez(tmp_path / "r.npz", signal=signals()[0].T, leads=np.array(LEADS))
    assert reason(tmp_path / "r.npz", NO_OVERRIDES) == "rate"
    assert read(tmp_path / "r.npz", overrides=MetadataOverrides(250.0, "mV")).signal.shape == (12, 200)
    np.savez(tmp_path / "r.npz", ecg=signals()[0])
    assert reason(tmp_path / "r.npz") == "content"


def zipped(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_npz_that_lies(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, signals()[0])
    path = zipped(tmp_path / "a.npz", signal=buffer.getvalue()[:-4])
    assert reason(path) == "content"
    huge = header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 10000000000000)}\n")
    assert reason(zipped(tmp_path / "b.npz", signal=huge)) == "content"
    bomb = header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 5)}\n", bytes(1 << 20))
    assert reason(zipped(tmp_path / "c.npz", signal=buffer.getvalue(), leads=bomb)) == "too_large"
    whole = zipped(tmp_path / "d.npz", signal=buffer.getvalue()).read_bytes()
    (tmp_path / "d.npz").write_bytes(whole[:-30])
    assert reason(tmp_path / "d.npz") == "unreadable"
    (tmp_path / "d.npz").write_bytes(whole[:2000] + b"\xff\xff" + whole[2002:])
    assert reason(tmp_path / "d.npz") == "unreadable"


def test_other_zip_files_are_not_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "report.docx", "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    assert reason(tmp_path / "report.docx") == "format"

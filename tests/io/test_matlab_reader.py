"""Tests of the MATLAB reader: files of every version, and files with wrong lengths."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.files import matlab_5
from ecgssl.io.files.matlab_5 import parse_matlab_5
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS, limb_residual

STATED = MetadataOverrides(500.0, "mV", LEADS)


def signal(samples: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (12, samples))


def reason(path: Path, overrides: MetadataOverrides = NO_OVERRIDES) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=overrides)
    return caught.value.reason


def write_7_3(path: Path, content: dict) -> None:
    """Write version 7.3: HDF5 after a block of 512 bytes, with reversed axes and texts as 16-bit numbers."""

    def put(group: h5py.Group, entries: dict) -> None:
        for name, value in entries.items():
            if isinstance(value, dict):
                inner = group.create_group(name)
                inner.attrs["MATLAB_class"] = np.bytes_("struct")
                put(inner, value)
            elif isinstance(value, str):
                stored = group.create_dataset(name, data=np.array([[ord(letter)] for letter in value], np.uint16))
                stored.attrs["MATLAB_class"] = np.bytes_("char")
            else:
                stored = group.create_dataset(name, data=np.atleast_2d(value).T, compression="gzip")
                stored.attrs["MATLAB_class"] = np.bytes_("double")

    with h5py.File(path, "w", userblock_size=512) as file:
        put(file, content)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(head)


@pytest.mark.parametrize("version", ["5", "5 packed", "7.3"])
def test_struct_of_cpsc2018(tmp_path, version):
    content = {"ECG": {"sex": "Female", "age": 93.0, "data": signal()}, "x": np.arange(5.0)}
    path = tmp_path / "A0001.mat"
    if version == "7.3":
        write_7_3(path, content)
    else:
        scipy.io.savemat(path, content, do_compression="packed" in version)
    assert reason(path) == "rate"
    got = read(path, overrides=MetadataOverrides(500.0))
    np.testing.assert_array_equal(got.signal, signal().astype(np.float32))
    assert (got.leads, got.sampling_rate, got.record_id) == (LEADS, 500.0, "A0001")
    assert got.meta == {"format": "matlab", "age": 90.0, "sex": "female"}


def test_content_decides_not_the_name(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"ECG": {"data": signal()}})
    (tmp_path / "x.mat").rename(tmp_path / "x.bin")
    assert read(tmp_path / "x.bin", overrides=MetadataOverrides(500.0)).meta["format"] == "matlab"


@pytest.mark.parametrize("form", ["4", "5"])
def test_a_plain_array_needs_everything_stated(tmp_path, form):
    path = tmp_path / "v.mat"
    values = (signal() * 1000).astype(np.int16)
    scipy.io.savemat(path, {"val": values}, format=form)
    assert reason(path) == "no_leads"
    assert reason(path, MetadataOverrides(leads=LEADS)) == "rate"
    assert reason(path, MetadataOverrides(500.0, leads=LEADS)) == "unit"
    assert reason(path, MetadataOverrides(500.0, "uV", LEADS[:8])) == "leads"
    got = read(path, overrides=MetadataOverrides(500.0, "uV", LEADS))
    np.testing.assert_array_equal(got.signal, (values * 1e-3).astype(np.float32))
    scipy.io.savemat(path, {"val": values.T}, format=form)
    np.testing.assert_array_equal(read(path, overrides=MetadataOverrides(500.0, "uV", LEADS)).signal, got.signal)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_variables_beside_the_array_speak(tmp_path, version):
    path = tmp_path / "f.mat"
    content = {"feats": signal(), "curr_sample_rate": 400.0, "org_sample_rate": 500.0, "idx": 5.0, "units": "uV"}
    if version == "5":
        # a cell array of texts; version 7.3 stores references, which are not followed
        scipy.io.savemat(path, content | {"leads": np.array(LEADS, dtype=object)})
        got = read(path)
    else:
        write_7_3(path, content)
        got = read(path, overrides=MetadataOverrides(leads=LEADS))
    assert (got.sampling_rate, got.leads) == (400.0, LEADS)
    np.testing.assert_allclose(got.signal, signal() * 1e-3, rtol=1e-6)
    assert read(path, overrides=STATED).meta["overridden"] == ("sampling_rate", "unit")


def test_several_arrays_or_none(tmp_path):
    path = tmp_path / "m.mat"
    scipy.io.savemat(path, {"a": signal(), "b": signal()})
    assert reason(path, STATED) == "content"
    scipy.io.savemat(path, {"other": np.zeros((4, 4)), "val": signal()})
    assert read(path, overrides=STATED).signal.shape == (12, 300)
    scipy.io.savemat(path, {"name": "text only"})
    assert reason(path, STATED) == "content"
    scipy.io.savemat(path, {"s": {"ecg": signal()[:8]}})
    assert read(
        path, overrides=MetadataOverrides(250.0, "mV", ("II", "V1", "V2", "V3", "V4", "V5", "V6", "x"))
    ).signal.shape == (
        7,
        300,
    )
    scipy.io.savemat(path, {"val": signal() + 1j})
    assert reason(path, STATED) == "content"


def test_members_there_are_none(tmp_path):
    scipy.io.savemat(tmp_path / "m.mat", {"val": signal()})
    assert reason(f"{tmp_path}/m.mat#3", STATED) == "member"


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<2I", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(matlab_class: int, shape: tuple[int, ...], *content: bytes, name: bytes = b"val") -> bytes:
    head = element(6, struct.pack("<2I", matlab_class, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(content))


def mat5(*variables: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables)


def packed(variable: bytes) -> bytes:
    data = zlib.compress(variable)
    return struct.pack("<2I", 15, len(data)) + data


def nested(depth: int) -> bytes:
    inner = matrix(6, (1, 1), element(9, bytes(8)), name=b"")
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner, name=b"")
    return inner


DOUBLES = element(9, signal().T.tobytes())
LYING = {
    "cut": (mat5(matrix(6, (12, 300), DOUBLES))[:-1000], "truncated"),
    "cut tag": (mat5(matrix(6, (12, 300), DOUBLES)) + b"\x0e\0\0", "truncated"),
    "damaged": (mat5(struct.pack("<2I", 15, 40) + bytes(40)), "unreadable"),
    "cut within": (mat5(struct.pack("<2I", 15, 40) + packed(matrix(6, (12, 300), DOUBLES))[8:48]), "truncated"),
    "huge": (mat5(matrix(6, (2**31 - 1, 2**31 - 1), element(9, bytes(8)))), "too_large"),
    "negative": (mat5(matrix(6, (-1, 12), element(9, bytes(8)))), "too_large"),
    "cells": (mat5(matrix(1, (2**26, 1))), "header"),
    "deep": (mat5(nested(100)), "header"),
    "sticks out": (mat5(matrix(6, (12, 300), struct.pack("<2I", 9, 10**6))), "header"),
    "shape": (mat5(matrix(6, (12, 299), DOUBLES)), "header"),
    "type": (mat5(matrix(6, (12, 300), element(99, signal().T.tobytes()))), "header"),
    "field names": (mat5(matrix(2, (1, 1), element(5, bytes(4)), element(1, b"data"), matrix(6, (0, 0)))), "header"),
    "few fields": (
        mat5(matrix(2, (1, 1), element(5, b"\x04\0\0\0"), element(1, b"dataage\0"), matrix(6, (0, 0)))),
        "header",
    ),
    "no name": (mat5(element(14, element(6, bytes(8)) + element(5, bytes(8)))), "header"),
    "no variable": (mat5(element(9, bytes(80))), "header"),
    "many": (mat5(matrix(6, (1, 1), *[element(9, b"")] * 110_000)), "too_large"),
}


@pytest.mark.parametrize("lie", LYING)
def test_files_that_lie_are_refused_before_they_are_believed(tmp_path, lie):
    data, expected = LYING[lie]
    (tmp_path / "l.mat").write_bytes(data)
    assert reason(tmp_path / "l.mat", STATED) == expected


def test_what_is_unpacked_is_limited(tmp_path, monkeypatch):
    """Decompression of zeros stops at the limit, also if several variables reach it together."""
    monkeypatch.setattr(matlab_5, "LARGEST_MATLAB", 1 << 20)
    for variables in ([bytes(2 << 20)], [matrix(6, (12, 8000), element(9, bytes(96 * 8000)))] * 2):
        (tmp_path / "bomb.mat").write_bytes(mat5(*map(packed, variables)))
        assert (tmp_path / "bomb.mat").stat().st_size < 10_000
        assert reason(tmp_path / "bomb.mat", STATED) == "too_large"


def test_an_honest_file_by_hand_is_as_scipy_reads_it(tmp_path):
    """Valid files of the helper are read correctly, compressed or not."""
    for number, variable in enumerate((matrix(6, (12, 300), DOUBLES), packed(matrix(6, (12, 300), DOUBLES)))):
        path = tmp_path / f"{number}.mat"
        path.write_bytes(mat5(variable))
        np.testing.assert_array_equal(scipy.io.loadmat(path)["val"], signal())
        np.testing.assert_array_equal(read(path, overrides=STATED).signal, signal().astype(np.float32))


def test_big_endian(tmp_path):
    big = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"
    flags, shape = struct.pack(">4I", 6, 8, 6, 0), struct.pack(">2I2i", 5, 8, 12, 300)
    body = flags + shape + struct.pack(">2I", 1, 3) + b"val".ljust(8, b"\0")
    values = signal().astype(">f8").T.tobytes()
    body += struct.pack(">2I", 9, len(values)) + values
    (tmp_path / "big.mat").write_bytes(big + struct.pack(">2I", 14, len(body)) + body)
    np.testing.assert_array_equal(read(tmp_path / "big.mat", overrides=STATED).signal, signal().astype(np.float32))


ARRAYS = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]).flatmap(
    lambda kind: st.lists(st.integers(0, 100), min_size=1, max_size=24).map(lambda v: np.array([v], dtype=kind))
)
# MATLAB stores a letter above code point 65,535 as two
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=1, max_size=9
)
NAMES = st.text("abcXYZ", min_size=1, max_size=8)
VALUES = ARRAYS | TEXTS | st.lists(TEXTS, min_size=1, max_size=4).map(tuple)


@settings(max_examples=100, deadline=None)
@given(
    content=st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), max_size=4),
    compress=st.booleans(),
)
def test_any_variables_come_back(content, compress):
    """Numbers of every type, texts, cell arrays of texts and structs, written by scipy."""

    def cells(value):
        if isinstance(value, tuple):
            return np.array([*value, None], dtype=object)[:-1]
        return {name: cells(inner) for name, inner in value.items()} if isinstance(value, dict) else value

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, cells(content), do_compression=compress)
    got = parse_matlab_5(Path("x"), buffer.getvalue())

    def same(value, want):
        if isinstance(want, dict):
            assert value.keys() == want.keys()
            for name in want:
                same(value[name], want[name])
        elif isinstance(want, np.ndarray):
            np.testing.assert_array_equal(value, want)
        else:
            assert value == want

    same(got, content)


def test_what_is_no_number_or_text_is_left_out(tmp_path):
    content = {"z": signal() + 1j, "s": scipy.sparse.eye_array(5).tocsc(), "o": np.array([1, "a"], object)}
    content |= {"many": np.zeros((2, 1), [("a", object)]), "rows": np.array(["ab", "cd"]), "empty": np.zeros((0, 0))}
    scipy.io.savemat(tmp_path / "m.mat", content)
    got = parse_matlab_5(tmp_path / "m.mat", (tmp_path / "m.mat").read_bytes())
    assert got.keys() == {"rows", "empty"}
    assert got["rows"] == ("ab", "cd")
    assert got["empty"].shape == (0, 0)


@pytest.mark.real
def test_real_files(real_data):
    """CPSC2018 in its first release, and CODE-15% as ``feats``; the limb lead equations confirm order and unit."""
    cpsc = sorted((real_data / "cpsc2018_original").glob("*.mat"))
    code = sorted((real_data / "code15").glob("*.mat"))
    assert len(cpsc) == len(code) == 10
    for path in cpsc:
        got = read(path, overrides=MetadataOverrides(500.0))
        want = scipy.io.loadmat(path)["ECG"]["data"][0, 0]
        np.testing.assert_array_equal(got.signal, want.astype(np.float32))
        assert set(got.meta) == {"format", "age", "sex"}
        assert limb_residual(got.signal, LEADS) < 0.01
        assert 0.5 < np.abs(got.signal).max() < 10
    for path in code:
        got = read(path, overrides=MetadataOverrides(unit="mV", leads=LEADS))
        assert got.sampling_rate == 400
        np.testing.assert_array_equal(got.signal, scipy.io.loadmat(path)["feats"])
        assert limb_residual(got.signal, LEADS) < 0.03

"""Resource-exhausting files: small files that declare large sizes or repeat an element very often."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from dicom_bombs import dicom_bombs
from fuzz_seeds import MEBIBYTE, STATED, Seed, make_seeds
from xml_bombs import xml_bombs

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides


@dataclass(frozen=True)
class Bomb:
    """One resource-exhausting file.

    Args:
        seed: format, name and accompanying files.
        make: function that returns the content of the file.
    """

    seed: Seed
    make: Callable[[], bytes]


def _scp() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def record(pointers: bytes, rest: bytes = b"") -> bytes:
        size = 16 + len(pointers)
        section = struct.pack("<HHIBB6s", 0, 0, size, 20, 20, b"SCPECG") + pointers
        return struct.pack("<HI", 0, 6 + len(section) + len(rest)) + section + rest

    whole = 2 * MEBIBYTE - 200
    first = struct.pack("<HII", 0, 136, 7)
    many = first + b"".join(struct.pack("<HII", i % 65536, whole, 1) for i in range(1, whole // 10))
    yield "pointers to everything", lambda: record(many)
    lead = b"\x01"
    section_3 = b"\0" * 16 + b"\xff\0" + (struct.pack("<II", 1, 0xFFFFFFFE) + lead) * 255
    index = 23 + 30
    pointers = first + struct.pack("<HII", 3, len(section_3), index) + struct.pack("<HII", 6, 8000, index)
    yield "long leads", lambda: record(pointers, section_3 + bytes(8000))


def _sierra(document: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    place, end = b"allocated>12</", b"</signalcharacteristics>"
    yield "channels", lambda: document.replace(place, b"allocated>1e300</")
    yield "channels in parts", lambda: document.replace(place, b"allocated>1<x/>e9</")
    valid = b"<numberchannelsvalid>999999999</numberchannelsvalid>"
    yield "channels, valid", lambda: document.replace(place, b"allocated></").replace(end, valid + end)
    yield (
        "labels",
        lambda: document.replace(b"<parsedwaveforms ", b'<parsedwaveforms leadlabels="%b" ' % (b"I " * (10 << 20))),
    )


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<2I", kind, len(content)) + content + bytes(-len(content) % 8)


def _matrix(number: int, shape: tuple[int, ...], *content: bytes, name: bytes = b"val") -> bytes:
    head = _element(6, struct.pack("<2I", number, 0)) + _element(5, struct.pack(f"<{len(shape)}i", *shape))
    return _element(14, head + _element(1, name) + b"".join(content))


def _packed(data: bytes) -> bytes:
    small = zlib.compress(data, 1)
    return struct.pack("<2I", 15, len(small)) + small


_MATLAB = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def _matlab() -> Iterator[tuple[str, Callable[[], bytes]]]:
    small = _matrix(6, (1, 1), _element(9, bytes(8)))
    yield "waste behind variables", lambda: _MATLAB + _packed(small + bytes(200 * MEBIBYTE)) * 100
    yield "letters", lambda: _MATLAB + _packed(_matrix(4, (1 << 26, 2), _element(1, bytes(1 << 27))))
    yield "zeros", lambda: _MATLAB + _packed(bytes(250 * MEBIBYTE))
    yield "cells", lambda: _MATLAB + _packed(_matrix(1, (90_000, 1), *[_element(14, b"")] * 90_000))
    yield "old, huge", lambda: struct.pack("<5i", 0, 2**31 - 1, 2**31 - 1, 0, 4) + b"val\0" + bytes(100)
    entries = struct.pack("<12d", 1, 1, 1, 1e9, 1, 1, 1, 1e9, 1, 1, 1, 0)
    yield "old, sparse", lambda: struct.pack("<5i", 2, 4, 3, 0, 4) + b"val\0" + entries
    yield "old, letters", lambda: struct.pack("<5i", 51, 1 << 24, 1, 0, 4) + b"val\0" + bytes(1 << 24)


def _matlab_of_leads() -> Iterator[tuple[str, Callable[[], bytes]]]:
    many = 1 << 20
    names = _matrix(4, (many, 1), _element(1, b"I" * many), name=b"leads")
    yield (
        "leads all alike",
        lambda: _MATLAB + _packed(names) + _packed(_matrix(8, (many, 100), _element(1, bytes(100 * many)))),
    )


def _hdf5() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def written(fill: Callable[[h5py.File], None]) -> bytes:
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            fill(file)
        return out.getvalue()

    def chunk(file: h5py.File) -> None:
        data = file.create_dataset("a", (12, 1000), "f4", chunks=(12, 1000), compression="gzip")
        packer = zlib.compressobj(1)
        zeros = b"".join(packer.compress(bytes(16 * MEBIBYTE)) for _ in range(128)) + packer.flush()
        data.id.write_direct_chunk((0, 0), zeros)

    def names(file: h5py.File) -> None:
        data = file.create_dataset("a", data=np.ones((12, 100)))
        kind = h5py.string_dtype()
        data.attrs.create("leads", ["x" * 50_000_000] + [""] * 200, dtype=kind)

    def groups(file: h5py.File) -> None:
        for number in range(9000):
            file.create_group(f"g{number}")

    def deep(file: h5py.File) -> None:
        inner = file
        for _ in range(3000):
            inner = inner.create_group("g")
        inner["a"] = np.ones((12, 100))

    yield "packed zeros", lambda: written(chunk)
    yield "long names", lambda: written(names)
    yield "groups", lambda: written(groups)
    yield "deep", lambda: written(deep)
    yield "compact shape", lambda: written(lambda file: file.create_dataset("a", (12, 10**7), "f4", fillvalue=1))


def _numpy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(text)) + text


def _npy() -> Iterator[tuple[str, Callable[[], bytes]]]:
    form = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}"
    yield "huge", lambda: _numpy(form.format("'<f8'", f"(12, {10**15})"))
    yield "overflow", lambda: _numpy(form.format("'<f8'", f"({2**62}, 12)"))
    yield "negative", lambda: _numpy(form.format("'<f8'", "(-12, -100)")) + bytes(9600)
    yield "truth", lambda: _numpy(form.format("'<f8'", "(True, 100)")) + bytes(800)
    yield "no bytes", lambda: _numpy(form.format("'|V0'", f"(12, {10**15})"))
    yield "deep header", lambda: _numpy("(" * 9000)
    yield "long header", lambda: _numpy(" " * (20 * MEBIBYTE))
    yield "long number", lambda: _numpy(form.format("'<f8'", f"(12, {'9' * 8000})"))
    yield "objects", lambda: _numpy(form.format("'|O'", "(12, 100)")) + b"cos\nsystem\n(S'true'\ntR."
    yield "parts of parts", lambda: _numpy(form.format("[('a', '<f8', (100000, 100000))]", "(12, 100)"))


def _npz() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def zipped(data: Callable[[], bytes], method: int = zipfile.ZIP_DEFLATED, count: int = 1) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
            content = data()
            for number in range(count):
                archive.writestr(f"signal{number or ''}.npy", content)
        return out.getvalue()

    form = "{'descr': '<f8', 'fortran_order': False, 'shape': (12, 100)}"
    yield "zeros", lambda: zipped(lambda: _numpy(form) + bytes(900 * MEBIBYTE))
    yield "zeros, bzip2", lambda: zipped(lambda: _numpy(form) + bytes(300 * MEBIBYTE), zipfile.ZIP_BZIP2)
    yield "zeros, lzma", lambda: zipped(lambda: _numpy(form) + bytes(100 * MEBIBYTE), zipfile.ZIP_LZMA)
    yield "entries", lambda: zipped(lambda: b"x", zipfile.ZIP_STORED, 60_000)
    for name, make in _npy():
        yield f"signal {name}", lambda make=make: zipped(make)


def _wfdb() -> Iterator[tuple[str, Callable[[], bytes]]]:
    line = b"a.dat 16 200 16 0 0 0 0 I\n"
    count = MEBIBYTE // len(line) - 10
    yield "leads all alike", lambda: b"b %d 500 100\n" % count + line * count
    files = b"".join(b"a%d 16 1 0 0 0 0 0 I\n" % i for i in range(40_000))
    yield "files", lambda: b"b 40000 500 100\n" + files
    yield "long number", lambda: b"b 1 " + b"9" * 900_000 + b" 100\n" + line
    yield "long gain", lambda: b"b 1 500 100\na.dat 16 " + b"1" * 900_000 + b"(0)/mV 16 0 0 0 0 I\n"
    yield "nearly a gain", lambda: b"b 1 500 100\na.dat 16 " + b"1." * 450_000 + b" 16 0 0 0 0 I\n"
    yield "long name", lambda: b"b 1 500 100\n" + b"a" * 400 + b".dat 16 200 16 0 0 0 0 I\n"
    yield "long name, FLAC", lambda: b"b 1 500 100\n" + b"a" * 400 + b".dat 516 200 16 0 0 0 0 I\n"
    yield "frames", lambda: b"b 1 500 100\na.dat 16x999999999:999999999 200 16 0 0 0 0 I\n"
    yield "long segment", lambda: b"b/1 1 500 100\n" + b"s" * 400 + b" 100\n"


def _segments() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "one segment often", lambda: b"b/9999 1 500 99990\n" + b"s 10\n" * 9999


def _texts() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "quotes", lambda: b"I,II\n1,2\n" + b'"1,2\n' * MEBIBYTE
    yield "zeros", lambda: b"I,II\n1,2\n" + b"\0,\0\n" * MEBIBYTE
    yield "empty rows", lambda: b"I,II\n" + b",\n" * (10 * MEBIBYTE)
    yield "long cell", lambda: b"I,II\n1,2\n1," + b"1" * (30 * MEBIBYTE) + b"\n"
    yield "columns", lambda: b"," * 4000 + b"I\n" + (b"," * 4000 + b"\n") * 2000
    yield "large numbers", lambda: b"time (s),I,II\n0,1e308,1e308\n1e308,-1e308,1e308\n" + b"1e309,1,1\n" * 10
    yield "numbers", lambda: b"I,II\n" + b"1,1\n" * (30 * MEBIBYTE)


def _edf() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def field(text: str, width: int) -> bytes:
        return text.ljust(width).encode()

    def made(count: int, label: str = "I") -> bytes:
        fixed = field("0", 8) + field("X", 80) * 2 + field("01.01.2001.01.01", 16)[:16]
        fixed += field(str(256 * (count + 1)), 8) + field("", 44) + field("1", 8) + field("1", 8) + field(str(count), 4)
        widths = [
            (label, 16),
            ("", 80),
            ("uV", 8),
            ("-1", 8),
            ("1", 8),
            ("-1", 8),
            ("1", 8),
            ("", 80),
            ("1", 8),
            ("", 32),
        ]
        return fixed + b"".join(field(text, width) * count for text, width in widths) + bytes(2 * count)

    yield "signals", lambda: made(9999)
    yield "annotations", lambda: made(9999, "EDF Annotations")


def _all() -> Iterator[Bomb]:
    seeds = make_seeds()
    for form in ("muse", "aecg", "cardiosoft", "schiller", "sierra", "mortara"):
        seed = next(seed for seed in seeds if seed.format == form)
        for name, make in xml_bombs(seed.content):
            yield Bomb(Seed(form, f"{form}: {name}", "bomb.xml", b""), make)
    header = b"b 40000 500 10\n" + b"a.dat 16 1 0 0 0 0 0 x\n" * 39_999 + b"a.dat 16 1 0 0 0 0 0 I\n"
    segment = {"s.hea": header, "a.dat": bytes(2 * 40_000 * 10)}
    unnamed = MetadataOverrides(500.0, "mV")
    sierra = next(seed.content for seed in seeds if seed.format == "sierra")
    for form, bombs, file, beside, overrides in (
        ("sierra", _sierra(sierra), "b.xml", {}, NO_OVERRIDES),
        ("dicom", dicom_bombs(), "b.dcm", {}, NO_OVERRIDES),
        ("scp", _scp(), "b.scp", {}, NO_OVERRIDES),
        ("matlab", _matlab(), "b.mat", {}, STATED),
        ("matlab", _matlab_of_leads(), "b.mat", {}, unnamed),
        ("hdf5", _hdf5(), "b.h5", {}, STATED),
        ("npy", _npy(), "b.npy", {}, STATED),
        ("npz", _npz(), "b.npz", {}, STATED),
        ("wfdb 16", _wfdb(), "b.hea", {"a.dat": bytes(200)}, NO_OVERRIDES),
        ("wfdb segments", _segments(), "b.hea", segment, NO_OVERRIDES),
        ("csv", _texts(), "b.csv", {}, unnamed),
        ("edf", _edf(), "b.edf", {}, NO_OVERRIDES),
    ):
        for name, make in bombs:
            yield Bomb(Seed(form, f"{form}: {name}", file, b"", beside=beside, overrides=overrides), make)


BOMBS = {bomb.seed.name: bomb for bomb in _all()}
"""Bombs by name: format and the excessive quantity."""

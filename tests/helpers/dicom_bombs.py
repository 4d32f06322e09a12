"""Resource-exhausting DICOM files: huge numbers of elements, items and values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from dicom_files import dicom, group
from fuzz_seeds import MEBIBYTE
from hospital_xml import digital
from pydicom.uid import ImplicitVRLittleEndian


def _tag(group: int, element: int, vr: bytes, content: bytes = b"") -> bytes:
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    return (
        struct.pack("<HH2s", group, element, vr)
        + (struct.pack("<HI", 0, len(content)) if long else struct.pack("<H", len(content)))
        + content
    )


def dicom_bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    whole = dicom(group(digital(samples=100)))
    # everything before the waveform sequence, and the sequence itself
    place = whole.index(struct.pack("<HH2s", 0x5400, 0x0100, b"SQ"))
    head = whole[:place]

    def waveform(item: bytes) -> bytes:
        return head + _tag(0x5400, 0x0100, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item)

    undefined = struct.pack("<HH2sHI", 0x5400, 0x0100, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    yield "elements", lambda: head + _tag(0x0010, 0x4000, b"LT") * (3 * MEBIBYTE + MEBIBYTE // 2)
    yield (
        "elements of different tags",
        lambda: head + b"".join(_tag(0x0011 + 2 * (i >> 16), i & 0xFFFF, b"LT") for i in range(3 * MEBIBYTE)),
    )
    yield (
        "elements in the sequence",
        lambda: waveform(b"".join(_tag(0x003A + 2 * (i >> 16), i & 0xFFFF, b"LT") for i in range(3 * MEBIBYTE))),
    )
    yield (
        "elements in an open sequence",
        lambda: (
            head
            + undefined
            + item
            + b"".join(_tag(0x003A + 2 * (i >> 16), i & 0xFFFF, b"LT") for i in range(3 * MEBIBYTE))
        ),
    )
    yield (
        "elements in another sequence",
        lambda: (
            head
            + struct.pack("<HH2sHI", 0x0040, 0xB020, b"SQ", 0, 0xFFFFFFFF)
            + item
            + _tag(0x0010, 0x4000, b"LT") * (3 * MEBIBYTE)
        ),
    )
    yield "items", lambda: head + _tag(0x5400, 0x0100, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 3_000_000)
    yield (
        "items to the limit",
        lambda: head + _tag(0x5400, 0x0100, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 99_000),
    )
    yield "deep", lambda: head + (undefined + item) * 40_000
    nested = b""
    for _ in range(2000):
        nested = _tag(0x5400, 0x0100, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested)
    yield "deep and closed", lambda: head + nested
    bare = dicom(group(digital(samples=100)), syntax=ImplicitVRLittleEndian)
    mark = struct.pack("<HHI", 0x003A, 0x001A, 4) + b"500 "
    values = struct.pack("<HHI", 0x003A, 0x001A, 30 * MEBIBYTE) + b"1\\" * (15 * MEBIBYTE)
    yield (
        "values",
        lambda: (
            bare[: bare.index(b"\0\x54\0\x01")]
            + struct.pack("<HHI", 0x5400, 0x0100, 0xFFFFFFFF)
            + (item + values + mark)
        ),
    )
    yield (
        "values of the age",
        lambda: (
            bare[: bare.index(struct.pack("<HH", 0x0010, 0x1010))]
            + struct.pack("<HHI", 0x0010, 0x1010, 30 * MEBIBYTE)
            + b"1\\" * (15 * MEBIBYTE)
        ),
    )
    yield (
        "samples declared",
        lambda: whole.replace(
            struct.pack("<HH2sHI", 0x003A, 0x0010, b"UL", 4, 100),
            struct.pack("<HH2sHI", 0x003A, 0x0010, b"UL", 4, 0xFFFFFFFF),
        ),
    )

"""Writer for small MFER test files (MFER Part 1) with made-up patient data in every field that can hold them."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray

CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "V3R": 11}
CODES |= {f"V{number}": number + 2 for number in range(1, 7)}


def define(tag: int, value: bytes) -> bytes:
    """Return a definition: tag, length and value."""
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([0x84]) + size.to_bytes(4, "big")
    return bytes([tag]) + length + value


def number(value: int, size: int, order: str) -> bytes:
    return value.to_bytes(size, "little" if order == "<" else "big")


def mfer(
    leads: Mapping[str, NDArray[np.int16]],
    *,
    nanovolts: int = 5000,
    rate: int | None = 500,
    order: str = "<",
    preamble: bool = True,
    null: int | None = None,
    frames: int = 1,
) -> bytes:
    """Return a file.

    Args:
        leads: (samples,) for each lead, by a name of ``CODES``.
        nanovolts: amplitude in nV per step; 0 for none.
        rate: sampling rate in Hz; ``None`` for none.
        order: byte order, ``<`` or ``>``.
        preamble: whether the file starts with a preamble.
        null: sample value that means "no value".
        frames: number of frames, into which the samples are divided.
    """
    rows = np.stack(list(leads.values()))
    out = define(0x40, b"MFR Standard 12 leads ECG") if preamble else b""
    out += define(0x01, b"\1" if order == "<" else b"\0")
    out += define(0x17, f"Maker^Model^1^{PERSON['serial']}".encode()) + define(0x16, PERSON["statement"].encode())
    out += define(0x81, PERSON["family"].encode()) + define(0x82, PERSON["id"].encode())
    out += define(0x83, bytes([93]) + number(0, 2, order) + number(1931, 2, order) + b"\4\x0f") + define(0x84, b"\2")
    out += define(0x08, number(1, 2, order)) + define(0x0A, b"\0")
    if rate is not None:
        out += define(0x0B, b"\0\0" + number(rate, 4, order))
    if nanovolts:
        out += define(0x0C, b"\0" + struct.pack("b", -9) + number(nanovolts, 4, order))
    if null is not None:
        out += define(0x12, struct.pack(f"{order}h", null))
    out += define(0x05, number(len(rows), 1, order)) + define(0x11, b"HPF=0.05") + define(0x11, b"LPF=150")
    for place, name in enumerate(leads):
        out += bytes([0x3F, place])
        inner = define(0x09, number(CODES[name], 2, order))
        out += bytes([len(inner)]) + inner
    for part in np.array_split(rows, frames, axis=1):
        out += define(0x04, number(part.shape[1], 4, order)) + define(0x06, number(1, 2, order))
        out += define(0x1E, part.astype(f"{order}i2").tobytes())
    return out + b"\x80"

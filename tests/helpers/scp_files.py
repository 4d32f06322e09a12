"""Writer for small SCP-ECG test records (EN 1064): amplitudes, or first differences in the default Huffman code."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray

CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{i}": i + 2 for i in range(1, 7)}


def scp(
    leads: Mapping[str, NDArray[np.int16]],
    *,
    nanovolts: int = 5000,
    interval: int = 2000,
    huffman: bool = False,
    starts: Mapping[str, int] | None = None,
    first: int = 1,
    last_is_count: bool = False,
) -> bytes:
    """Return a record with sections 0, 1, 3 and 6, and section 2 if it is compressed.

    Args:
        leads: (samples,) for each lead.
        nanovolts: amplitude in nV per step.
        interval: microseconds between samples.
        huffman: whether samples are first differences in the default Huffman code.
        starts: first sample of leads that do not start with ``first``.
        first: number of the first sample.
        last_is_count: whether the last number is one more than that of the last sample.
    """
    bounds = [((starts or {}).get(name, first), len(row)) for name, row in leads.items()]
    lead_bytes = [_huffman(row) if huffman else row.astype("<i2").tobytes() for row in leads.values()]
    section_3 = struct.pack("<BB", len(leads), 0x04 | len(leads) << 3 & 0xFF)
    for name, (start, count) in zip(leads, bounds, strict=True):
        section_3 += struct.pack("<IIB", start, start + count - (0 if last_is_count else 1), CODES[name])
    section_6 = struct.pack("<HHBB", nanovolts, interval, 1 if huffman else 0, 0)
    section_6 += b"".join(struct.pack("<H", len(one)) for one in lead_bytes) + b"".join(lead_bytes)
    bodies = {1: _person(), 3: section_3, 6: section_6}
    if huffman:
        bodies[2] = struct.pack("<H", 19999)
    sections = {number: _section(number, body) for number, body in sorted(bodies.items())}
    index = 7 + 16 + 10 * 12
    pointers = struct.pack("<HII", 0, 16 + 120, 7)
    for number in range(1, 12):
        size = len(sections.get(number, b""))
        pointers += struct.pack("<HII", number, size, index if size else 0)
        index += size
    record = _section(0, pointers, b"SCPECG") + b"".join(sections.values())
    record = struct.pack("<I", len(record) + 6) + record
    return struct.pack("<H", binascii.crc_hqx(record, 0xFFFF)) + record


def _section(number: int, body: bytes, reserved: bytes = b"\0" * 6) -> bytes:
    body += b"\0" * (len(body) % 2)
    rest = struct.pack("<HIBB", number, len(body) + 16, 20, 20) + reserved + body
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def _person() -> bytes:
    """Return section 1: name, identifier, age, birth, sex, technician, filters."""
    texts = {0: PERSON["family"], 1: PERSON["given"], 2: PERSON["id"], 22: PERSON["technician"]}
    tags = {tag: text.encode() + b"\0" for tag, text in texts.items()}
    tags |= {4: struct.pack("<HB", 93, 1), 5: struct.pack("<HBB", 1931, 4, 15), 8: b"\2"}
    tags |= {27: struct.pack("<H", 5), 28: struct.pack("<H", 150)}
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in sorted(tags.items())) + b"\xff\0\0"


def _huffman(row: NDArray[np.int16]) -> bytes:
    """Return first differences in the default table of EN 1064, B.2: 0, ones that count the magnitude, and the sign."""
    bits = ""
    values = np.concatenate([row[:1], np.diff(row.astype(np.int64))]).tolist()
    for value in values:
        if value == 0:
            bits += "0"
        elif abs(value) <= 8:
            bits += "1" * abs(value) + "0" + ("1" if value < 0 else "0")
        elif abs(value) <= 127:
            bits += "1111111110" + f"{value & 0xFF:08b}"
        else:
            bits += "1111111111" + f"{value & 0xFFFF:016b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")

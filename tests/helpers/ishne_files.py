"""Writer for small ISHNE Holter files (Badilini 1998) with made-up patient data in every field that can hold them."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray

CODES = {name: code for code, name in enumerate(("I", "II", "III", "aVR", "aVL", "aVF"), 5)}
CODES |= {f"V{number}": 10 + number for number in range(1, 7)} | {"X": 2, "ES": 17, "unknown": 0}


def ishne(
    leads: Mapping[str, NDArray[np.int16]],
    *,
    nanovolts: int = 5000,
    rate: int = 500,
    declared: int | None = None,
    comments: bytes = b"",
    checksum: bool = True,
) -> bytes:
    """Return a file.

    Args:
        leads: (samples,) for each lead, by a name of ``CODES``.
        nanovolts: amplitude in nV per step.
        rate: sampling rate in Hz.
        declared: declared number of samples; by default that of a lead.
        comments: variable block.
        checksum: whether the header holds a checksum.
    """
    rows = np.stack(list(leads.values()))
    block = bytearray(512)
    count = rows.shape[1] if declared is None else declared
    struct.pack_into("<4ih", block, 0, len(comments), count, 522, 522 + len(comments), 1)
    for place, size, text in ((18, 40, PERSON["given"]), (58, 40, PERSON["family"]), (98, 20, PERSON["id"])):
        block[place : place + size] = text.encode()[:size].ljust(size, b"\0")
    struct.pack_into("<2h3h3h", block, 118, 2, 1, 15, 4, 1931, 29, 2, 2024)
    struct.pack_into("<3h3h", block, 134, 29, 2, 2024, 12, 0, 0)
    absent = [-9] * (12 - len(rows))
    struct.pack_into(
        "<h12h12h12h", block, 146, len(rows), *map(CODES.__getitem__, leads), *absent, *[1] * 12, *[nanovolts] * 12
    )
    block[222:262] = b"digital".ljust(40, b"\0")
    struct.pack_into("<h", block, 262, rate)
    header = bytes(block) + comments
    crc = struct.pack("<H", binascii.crc_hqx(header, 0xFFFF) if checksum else 0)
    return b"ISHNE1.0" + crc + header + rows.T.astype("<i2").tobytes()

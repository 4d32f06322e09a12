"""Writer for small ATC test files (AliveCor, specification 1.7) with made-up patient data in every field that can hold them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray

from ecgssl.signal.leads import LEADS

IDENTIFIERS = dict(zip(LEADS, (b"ecg ", *(b"ecg%x" % number for number in range(2, 13))), strict=True))


def block(identifier: bytes, data: bytes, crc: bool = False) -> bytes:
    """Return a block with its checksum: the sum of its bytes, or the CRC-32."""
    body = identifier + struct.pack("<I", len(data)) + data
    return body + struct.pack("<I", zlib.crc32(body) if crc else sum(body) & 0xFFFFFFFF)


def atc(
    leads: Mapping[str, NDArray[np.int16]],
    *,
    nanovolts: int = 500,
    rate: int = 300,
    kind: int = 1,
    flags: int = 2,
    crc: bool = False,
) -> bytes:
    """Return a file: information, format, samples of each lead, an average beat and annotations."""
    texts = (PERSON["date"], PERSON["id"], PERSON["serial"], "phone", "software", "hardware", f"SN={PERSON['serial']}")
    widths = (32, 40, 44, 32, 32, 32, 52)
    info = b"".join(text.encode().ljust(width, b"\0") for text, width in zip(texts, widths, strict=True))
    out = b"ALIVE\0\0\0" + struct.pack("<I", 5) + block(b"info", info, crc)
    out += block(b"fmt ", struct.pack("<BHHBH", kind, rate, nanovolts, flags, 0), crc)
    for name, row in leads.items():
        out += block(IDENTIFIERS[name], row.astype("<i2").tobytes(), crc)
    first = next(iter(leads.values()))
    out += block(b"avg ", first[:30].astype("<i2").tobytes(), crc)
    return out + block(b"ann ", struct.pack("<IIH", rate, 10, 1), crc)

"""Reader for ATC files of AliveCor Kardia devices with 1, 6 or 12 leads.

Format: AliveCor, "ATC File Format Specification 1.7" (2021). A file has a signature, a version, and blocks of an identifier, a
length, data and a checksum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import read_limited
from ecgssl.signal.leads import LEADS

SIGNATURE = b"ALIVE\0\0\0"

LARGEST_ATC = 32 << 20
"""Largest file in bytes; twelve leads of five minutes at 300 Hz have 2 MiB."""

_SAMPLES = dict(zip((b"ecg ", *(b"ecg%x" % number for number in range(2, 13))), LEADS, strict=True))
"""Lead of each block of samples. Blocks of average and median beats have other identifiers and are not read."""

_SIGNED_16_BIT = 1


def read_atc(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an ATC file. Dates, identifiers of phone and recording, annotations and average beats are not read.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: values that replace those of the file.

    Returns:
        The leads in mV, in the order of the file: stored integers x amplitude resolution.

    Raises:
        RecordingError: reason ``truncated`` (a block ends beyond the file), ``checksum``, ``header`` (no format, or another
            sample type), ``no_leads``, ``gain`` (resolution 0), ``length`` or ``too_large``. Errors of ``resolve_metadata``
            and ``build_recording`` propagate.
    """
    refuse_member(path, member)
    form = None
    names, rows = [], []
    for identifier, data in _blocks(path, read_limited(path, LARGEST_ATC)):
        if identifier == b"fmt ":
            form = data
        elif identifier in _SAMPLES:
            if len(data) % 2:
                raise read_error("truncated", path, f"lead {_SAMPLES[identifier]}", "half a sample is stored")
            names.append(_SAMPLES[identifier])
            rows.append(np.frombuffer(data, "<i2"))
    if form is None or len(form) < 5:
        raise read_error("header", path, "format block", "is absent or too short")
    kind, rate, nanovolts = struct.unpack_from("<BHH", form)
    if kind != _SIGNED_16_BIT:
        raise read_error("header", path, "format block", "does not declare signed 16-bit samples")
    resolved = resolve_metadata(path, overrides, len(rows), sampling_rate=float(rate), unit="nV", leads=names)
    if nanovolts == 0:
        raise read_error("gain", path, "amplitude resolution", "is 0, so the leads are not calibrated")
    scaled = [rows[i] * float(nanovolts) for i in resolved.rows]
    return build_recording(path, resolved, scaled, record_id=path.stem, name="atc")


def _blocks(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield identifier and data of each block, after checking its length and checksum."""
    place = len(SIGNATURE) + 4
    while place < len(data):
        if place + 12 > len(data):
            raise read_error("truncated", path, "blocks", "the last one has no length or checksum")
        (length,) = struct.unpack_from("<I", data, place + 4)
        end = place + 8 + length
        if end + 4 > len(data):
            raise read_error("truncated", path, "blocks", "one ends beyond the end of the file")
        (checksum,) = struct.unpack_from("<I", data, end)
        if checksum not in _checksums(data[place:end]):
            raise read_error("checksum", path, "blocks", "one does not match its checksum")
        yield data[place : place + 4], data[place + 8 : end]
        place = end + 4


def _checksums(block: bytes) -> tuple[int, int]:
    """Return the two checksums that are accepted: the sum of all bytes modulo 2**32, and the CRC-32."""
    return sum(block) & 0xFFFFFFFF, zlib.crc32(block)

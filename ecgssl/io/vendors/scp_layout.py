"""Length checks for SCP-ECG (EN 1064) before ecgdatakit decodes the leads, and correction of sample numbers from 0."""

from __future__ import annotations

import binascii
import struct
from pathlib import Path

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import read_error
from ecgssl.io.size_limits import check_size
from ecgssl.io.vendors.sample_text import check_length

_SECTION_HEADER = 16
_POINTERS = 6 + _SECTION_HEADER


def check_scp(path: Path, data: bytes) -> bytes:
    """Return the record after checking that the lengths of sections and leads match the declared lengths.

    EN 1064 numbers the samples of a lead from 1. Some programs start at 0, and may store the number of samples as the last
    sample number. For such files, the returned record has corrected sample numbers in section 3, and checksums that were
    valid are updated. Other files are returned unchanged.

    Args:
        path: file name for messages.
        data: content of the file.

    Raises:
        RecordingError: reason ``truncated``, ``length``, ``too_large``, or ``header`` if sections are missing, exceed
            the file or together are longer than it, or if the samples of a file with a reference beat start at 0.
    """
    try:
        (size,) = struct.unpack_from("<I", data, 2)
        if size > len(data):
            check_length(path, "record", len(data), size, "bytes")
        sections = _sections(path, data)
        if 3 not in sections or 6 not in sections:
            missing = 3 if 3 not in sections else 6
            raise _header(path, f"section {missing} is absent")
        bounds = _check_leads(path, sections[3], sections[6], packed=2 in sections)
        return data if bounds is None else _replace_bounds(data, bounds)
    except struct.error:
        raise _header(path, "a section ends beyond the file") from None


def _sections(path: Path, data: bytes) -> dict[int, bytes]:
    """Return the content of the sections by section number."""
    (length,) = struct.unpack_from("<I", data, 10)
    places = range(_POINTERS, min(6 + length, len(data)) - 9, 10)
    pointers = [struct.unpack_from("<HII", data, place) for place in places]
    if sum(size for _, size, _ in pointers) > len(data):
        raise _header(path, "the sections together are longer than the file")
    return {
        number: data[index - 1 + _SECTION_HEADER : index - 1 + size]
        for number, size, index in pointers
        if size and index
    }


def _check_leads(path: Path, definition: bytes, rhythm: bytes, *, packed: bool) -> list[tuple[int, int]] | None:
    """Return the first and last sample of each lead, numbered from 1; ``None`` if no lead starts at sample 0."""
    count = definition[0] if definition else 0
    bounds = [struct.unpack_from("<II", definition, 2 + 9 * i) for i in range(count)]
    sizes = struct.unpack_from(f"<{count}H", rhythm, 6)
    if not bounds:
        raise _header(path, "section 3 defines no leads")
    check_size(path, count, max(end for _, end in bounds) - min(start for start, _ in bounds) + 1)
    from_zero = min(start for start, _ in bounds) == 0
    # the last number is the number of samples, unless the stored samples show that it is the last sample
    last = (
        0 if packed or any(size / 2 != end - start + 1 for (start, end), size in zip(bounds, sizes, strict=True)) else 1
    )
    if from_zero:
        if definition[1] & 1:
            raise _header(path, "leads are counted from sample 0, which is not supported with a reference beat")
        bounds = [(start + 1, end + last) for start, end in bounds]
    for place, ((start, end), size) in enumerate(zip(bounds, sizes, strict=True), 1):
        samples = end - start + 1
        if not packed:
            check_length(path, f"lead {place}", size / 2, samples, "samples")
        elif samples > 8 * size:
            # a Huffman-coded sample needs at least one bit
            check_length(path, f"lead {place}", 8 * size, samples, "bits for samples")
    return bounds if from_zero else None


def _replace_bounds(data: bytes, bounds: list[tuple[int, int]]) -> bytes:
    """Return the record with these first and last sample numbers of the leads in section 3."""
    out = bytearray(data)
    (length,) = struct.unpack_from("<I", data, 10)
    pointers = (struct.unpack_from("<HII", data, place) for place in range(_POINTERS, 6 + length - 9, 10))
    first, end = next(
        (index - 1, index - 1 + size) for number, size, index in pointers if number == 3 and size and index
    )
    (size,) = struct.unpack_from("<I", data, 2)
    valid = [_crc(data, start, stop) == data[start : start + 2] for start, stop in ((first, end), (0, size))]
    for i, bound in enumerate(bounds):
        struct.pack_into("<II", out, first + _SECTION_HEADER + 2 + 9 * i, *bound)
    for (start, stop), was_valid in zip(((first, end), (0, size)), valid, strict=True):
        if was_valid:
            out[start : start + 2] = _crc(out, start, stop)
    return bytes(out)


def _crc(data: bytes | bytearray, start: int, stop: int) -> bytes:
    """Return the checksum of a section or record, excluding its first two bytes, which store the checksum."""
    return struct.pack("<H", binascii.crc_hqx(bytes(data[start + 2 : stop]), 0xFFFF))


def _header(path: Path, what: str) -> RecordingError:
    return read_error("header", path, "sections", what)

"""Length checks for SCP-ECG (EN 1064), before ecgdatakit decodes the leads."""

from __future__ import annotations

import struct
from pathlib import Path

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import read_error
from ecgssl.io.size_limits import check_size
from ecgssl.io.vendors.sample_text import check_length

_SECTION_HEADER = 16
_POINTERS = 6 + _SECTION_HEADER


def check_scp(path: Path, data: bytes) -> None:
    """Check that the lengths of sections and leads match the declared lengths.

    Args:
        path: file name for messages.
        data: content of the file.

    Raises:
        RecordingError: reason ``truncated``, ``length``, ``too_large``, or ``header`` if sections are missing, exceed
            the file or overlap. Overlapping sections could need much more memory than the file size.
    """
    try:
        (size,) = struct.unpack_from("<I", data, 2)
        if size > len(data):
            check_length(path, "record", len(data), size, "bytes")
        sections = _sections(path, data)
        if 3 not in sections or 6 not in sections:
            missing = 3 if 3 not in sections else 6
            raise _header(path, f"section {missing} is absent")
        _check_leads(path, sections[3], sections[6], packed=2 in sections)
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


def _check_leads(path: Path, definition: bytes, rhythm: bytes, *, packed: bool) -> None:
    count = definition[0] if definition else 0
    bounds = [struct.unpack_from("<II", definition, 2 + 9 * i) for i in range(count)]
    sizes = struct.unpack_from(f"<{count}H", rhythm, 6)
    if not bounds:
        raise _header(path, "section 3 defines no leads")
    check_size(path, count, max(end for _, end in bounds) - min(start for start, _ in bounds) + 1)
    for place, ((start, end), size) in enumerate(zip(bounds, sizes, strict=True), 1):
        samples = end - start + 1
        if not packed:
            check_length(path, f"lead {place}", size / 2, samples, "samples")
        elif samples > 8 * size:
            # a Huffman-coded sample needs at least one bit
            check_length(path, f"lead {place}", 8 * size, samples, "bits for samples")


def _header(path: Path, what: str) -> RecordingError:
    return read_error("header", path, "sections", what)

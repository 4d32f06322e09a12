"""Layout of MFER files (ISO 22077-1, MFER Part 1): a sequence of definitions, each with a tag, a length and a value.

Only tags and lengths are parsed, to recognise the format and to count the waveform frames.
"""

from __future__ import annotations

from collections.abc import Iterator

PREAMBLE, WAVE, END, ATTRIBUTE = 0x40, 0x1E, 0x80, 0x3F
_INDEFINITE = 0x80
_LONG_LENGTH = 4
_CORE = {0x01, 0x04, 0x05, 0x06, 0x0A, 0x0B, 0x0C}
"""Byte order, block length, channels, sequences, data type, sampling interval and resolution."""

_KNOWN = {
    *range(0x01, 0x10), 0x11, 0x12, 0x15, 0x16, 0x17, WAVE, ATTRIBUTE, *range(PREAMBLE, 0x47), 0x67, *range(0x80, 0x89),
}  # fmt: skip
_SNIFFED = 64


class InvalidDefinition(ValueError):
    """Error: a definition ends beyond the data, or its length field is too long."""


def definitions(data: bytes, whole: bool = True) -> Iterator[tuple[int, int]]:
    """Yield tag and length of each definition; an indefinite length is -1, and its content follows as definitions.

    Args:
        data: file, or its first bytes.
        whole: whether ``data`` must contain the value of each definition.

    Raises:
        InvalidDefinition: a length field, a channel number or a value ends beyond the data, or a length has more than four
            bytes.
    """
    place = 0
    while place < len(data):
        tag = data[place]
        place += 1
        if tag == 0:
            continue
        if tag == END:
            return
        try:
            if tag == ATTRIBUTE:
                # the channel number has seven bits per byte; the upper bit marks a further byte
                while data[place] & 0x80:
                    place += 1
                place += 1
            length = data[place]
            place += 1
        except IndexError:
            raise InvalidDefinition from None
        if length == _INDEFINITE:
            yield tag, -1
            continue
        if length > _INDEFINITE:
            count = length & 0x7F
            if count > _LONG_LENGTH or place + count > len(data):
                raise InvalidDefinition
            length = int.from_bytes(data[place : place + count], "big")
            place += count
        if whole and place + length > len(data):
            raise InvalidDefinition
        yield tag, length
        place += length


def is_mfer_head(head: bytes) -> bool:
    """Return whether the first bytes of a file are MFER: its preamble, or definitions up to a waveform.

    Without a preamble, all definitions before the waveform must have known tags, among them at least three tags of
    ``_CORE``.
    """
    if head[:1] == bytes([PREAMBLE]) and head[2:6] == b"MFR ":
        return True
    core: set[int] = set()
    try:
        for number, (tag, length) in enumerate(definitions(head, whole=False)):
            if tag not in _KNOWN or number > _SNIFFED:
                return False
            if tag in _CORE and length <= 8:
                core.add(tag)
            if tag == WAVE:
                return len(core) >= 3
    except InvalidDefinition:
        return False
    return False


def count_frames(data: bytes) -> int:
    """Return the number of waveform frames.

    Raises:
        InvalidDefinition: see ``definitions``.
    """
    return sum(tag == WAVE for tag, _ in definitions(data))

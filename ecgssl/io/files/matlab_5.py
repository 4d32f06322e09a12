"""Parser for MATLAB files of versions 5 to 7.

It replaces the parser of scipy, which crashes on some damaged files. Format: MathWorks, "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import AGAIN, read_error
from ecgssl.io.size_limits import LARGEST, SPLIT

LARGEST_MATLAB = 256 << 20
"""Largest file size in bytes, also after decompression: 90 minutes of twelve leads at 500 Hz in double precision."""

_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)
_COMPLEX = 0x800
_DEEPEST = 8
_MOST_ELEMENTS = 100_000
_LONGEST_TEXT = 100_000
"""Largest string in bytes; longer strings are omitted."""


def parse_matlab_5(path: Path, data: bytes) -> dict[str, Any]:
    """Return the variables of a MATLAB file.

    Args:
        path: file name for messages.
        data: content of the file, at most ``LARGEST_MATLAB`` bytes.

    Returns:
        Variables by name. Numeric variables are arrays with MATLAB's axis order, character variables are strings or
        tuples of strings, cell arrays of strings are tuples of strings, and structs are dictionaries. Complex and
        sparse arrays, other cell arrays, arrays of structs, objects, functions and long strings are omitted.

    Raises:
        RecordingError: reason ``truncated``, ``header`` (invalid element), ``unreadable`` (damaged compressed data) or
            ``too_large`` (decompressed size, shape or number of elements).
    """
    file = _File(path, "<" if data[126:128] == b"IM" else ">")
    variables, position, size = {}, 128, 0
    while position < len(data):
        kind, content, end = file.element(memoryview(data)[position:], packed=True)
        position += end
        if kind == _COMPRESSED:
            unpacked = file.inflated(content, LARGEST_MATLAB - size)
            # arrays are views of the decompressed bytes, so all of these bytes stay in memory
            size += len(unpacked)
            kind, content, _ = file.element(memoryview(unpacked))
        if kind != _MATRIX:
            raise file.error("header", "found another element where a variable is expected")
        name, value = file.matrix(content, 0)
        if value is not None:
            variables[name] = value
    return variables


class _File:
    """Parser state: byte order of the file and number of elements parsed so far."""

    def __init__(self, path: Path, order: str) -> None:
        self.path, self.order, self.seen = path, order, 0

    def element(self, data: memoryview, packed: bool = False) -> tuple[int, memoryview, int]:
        """Return the type and content of the first element, and the position of the next element.

        Elements are padded to a multiple of 8 bytes, unless ``packed`` is true.
        """
        if len(data) < 8:
            raise self.error("truncated", "the file ends within the tag of an element")
        kind, length = struct.unpack(f"{self.order}2I", data[:8])
        start, end = 8, 8 + (length if packed else -(-length // 8) * 8)
        if kind >> 16:
            # small element: the upper 16 bits of the type are the length, and up to 4 bytes of data follow
            kind, length, start, end = kind & 0xFFFF, kind >> 16, 4, 8
        content = data[start : start + length]
        if len(content) < length or start + length > end:
            raise self.error("truncated" if packed else "header", "an element is longer than its parent")
        self.seen += 1
        if self.seen > _MOST_ELEMENTS:
            raise self.error("too_large", f"has more than {_MOST_ELEMENTS} elements")
        return kind, content, end

    def elements(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield the type and content of each element."""
        while data:
            kind, content, end = self.element(data)
            yield kind, content
            data = data[end:]

    def inflated(self, content: memoryview, most: int) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(content, max(most, 1))
        except zlib.error as error:
            raise self.error("unreadable", "a compressed variable is damaged") from error
        if not unpacker.eof:
            reason = "too_large" if unpacker.unconsumed_tail else "truncated"
            raise self.error(reason, f"a compressed variable does not end after {len(data)} bytes")
        return data

    def matrix(self, data: memoryview, depth: int) -> tuple[str, Any]:
        """Return the name and value of a variable, field or cell; the value is ``None`` for omitted types."""
        if depth > _DEEPEST:
            raise self.error("header", f"is nested more than {_DEEPEST} levels deep")
        if not data:
            return "", None
        parts = list(self.elements(data))
        if len(parts) < 3 or len(parts[0][1]) != 8 or parts[0][0] != 6 or parts[1][0] != 5 or parts[2][0] != 1:
            raise self.error("header", "a variable does not begin with its flags, shape and name")
        (flags,) = struct.unpack(f"{self.order}I", parts[0][1][:4])
        sides = tuple(np.frombuffer(parts[1][1], f"{self.order}i4", len(parts[1][1]) // 4).tolist())
        name = bytes(parts[2][1]).decode("latin-1")
        if min(sides, default=-1) < 0 or math.prod(sides) > LARGEST:
            raise self.error("too_large", "a variable declares too many values")
        kind, rest = flags & 0xFF, parts[3:]
        if kind == _CELL:
            return name, self._cell(sides, rest, depth)
        if kind == _STRUCT:
            return name, self._struct(sides, rest, depth)
        if not rest or flags & _COMPLEX:
            return name, None
        if kind == _CHAR:
            return name, self._text(sides, *rest[0])
        return name, self._array(sides, *rest[0]) if kind in _NUMERIC else None

    def _array(self, sides: tuple[int, ...], kind: int, content: memoryview) -> Any:
        if kind not in _TYPES:
            raise self.error("header", "unknown number type")
        dtype = np.dtype(f"{self.order}{_TYPES[kind]}")
        if len(content) != math.prod(sides) * dtype.itemsize:
            raise self.error("header", f"{len(content)} bytes of numbers do not match the declared shape")
        return np.frombuffer(content, dtype).reshape(sides, order="F")

    def _text(self, sides: tuple[int, ...], kind: int, content: memoryview) -> str | tuple[str, ...] | None:
        if len(content) > _LONGEST_TEXT:
            return None
        encoding = _ENCODINGS.get(kind, "latin-1")
        if encoding == "utf-16":
            encoding += "-le" if self.order == "<" else "-be"
        text = bytes(content).decode(encoding, errors="replace")
        if len(sides) != 2 or len(text) != math.prod(sides):
            return None
        # characters are stored column by column
        return text if sides[0] == 1 else tuple(text[row :: sides[0]] for row in range(sides[0]))

    def _cell(self, sides: tuple[int, ...], parts: list[tuple[int, memoryview]], depth: int) -> tuple[str, ...] | None:
        if len(parts) != math.prod(sides) or any(kind != _MATRIX for kind, _ in parts):
            raise self.error("header", f"a cell array of {len(parts)} cells does not match its declared shape")
        items = [self.matrix(content, depth + 1)[1] for _, content in parts]
        return tuple(items) if items and all(isinstance(item, str) for item in items) else None

    def _struct(self, sides: tuple[int, ...], parts: list[tuple[int, memoryview]], depth: int) -> dict[str, Any] | None:
        if len(parts) < 2 or len(parts[0][1]) != 4:
            raise self.error("header", "a struct has no field names")
        (width,) = struct.unpack(f"{self.order}i", parts[0][1])
        packed = bytes(parts[1][1])
        if width < 1 or len(packed) % width:
            raise self.error("header", "a struct has damaged field names")
        names = [packed[i : i + width].partition(b"\0")[0].decode("latin-1") for i in range(0, len(packed), width)]
        if len(parts) - 2 != len(names) * math.prod(sides) or any(kind != _MATRIX for kind, _ in parts[2:]):
            raise self.error("header", f"a struct with {len(parts) - 2} values does not match its declared shape")
        if math.prod(sides) != 1:
            return None
        values = [self.matrix(content, depth + 1)[1] for _, content in parts[2:]]
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def error(self, reason: str, what: str) -> RecordingError:
        return read_error(reason, self.path, "content", what, SPLIT if reason == "too_large" else AGAIN)

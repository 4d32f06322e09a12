"""How research formats are recognised from the first bytes of a file, whatever it is called."""

from __future__ import annotations

import struct
from pathlib import Path

from ecgssl.io.files.sample_table import is_sample_table
from ecgssl.io.wfdb.header import LARGEST_HEADER
from ecgssl.io.wfdb.reader import header_path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB = {b"\x00\x01IM": "5", b"\x01\x00MI": "5", b"\x00\x02IM": "7.3"}


def is_wfdb(path: Path, head: bytes) -> bool:
    """A header, or a record that has one. A file with a header beside it which names another one is not of the record."""
    header = header_path(path)
    try:
        if not header.is_file():
            return False
    except OSError:
        return False  # with the suffix the name is longer than names may be
    if header == path or not path.is_file():
        return True
    try:
        with header.open("rb") as stream:
            return path.name.encode() in stream.read(LARGEST_HEADER)
    except OSError:
        return True  # the reader says what is wrong with the header


def matlab_version(head: bytes) -> str | None:
    """``4``, ``5`` (also of versions 6 and 7) or ``7.3``, by bytes 124 to 127 or, for version 4, by the first variable."""
    if head[124:128] in _MATLAB:
        return _MATLAB[head[124:128]]
    return "4" if any(_is_matlab_4(head, order) for order in "<>") else None


def _is_matlab_4(head: bytes, order: str) -> bool:
    if len(head) < 22:
        return False
    kind, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head[:20])
    thousands, kind = divmod(kind, 1000)
    known = thousands == (order == ">") and kind in (0, 10, 20, 30, 40, 50)
    name = head[20 : 20 + length]
    return (
        known
        and rows > 0
        and columns > 0
        and imaginary in (0, 1)
        and 2 <= length <= 64
        and name[-1:] == b"\0"
        and name[:-1].decode("latin-1").isidentifier()
    )


def is_matlab(path: Path, head: bytes) -> bool:
    return matlab_version(head) is not None


def is_hdf5(path: Path, head: bytes) -> bool:
    """The signature may stand behind a block of the user's, whose size is a power of two."""
    return any(head[start : start + 8] == _HDF5 for start in (0, 512, 1024, 2048))


def is_npy(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY")


def is_npz(path: Path, head: bytes) -> bool:
    """A zip archive whose first file is an array: other kinds of zip (documents) are not touched."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    (length,) = struct.unpack("<H", head[26:28])
    return head[30 : 30 + length].endswith(b".npy")


def is_edf(path: Path, head: bytes) -> bool:
    """Version 0, and a header as long as its number of signals requires."""
    if head[:8] != b"0       " or len(head) < 256:
        return False
    size, count = head[184:192].strip(), head[252:256].strip()
    return size.isdigit() and count.isdigit() and int(size) == 256 * (int(count) + 1)


def is_csv(path: Path, head: bytes) -> bool:
    return is_sample_table(head)

"""File format signatures: functions that recognise a format from the first bytes of a file, not from its suffix."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from ecgssl.io.files.csv_header import is_sample_table
from ecgssl.io.vendors.xml_document import root_name
from ecgssl.io.wfdb.header import LARGEST_HEADER
from ecgssl.io.wfdb.reader import header_path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB = {b"\x00\x01IM": "5", b"\x01\x00MI": "5", b"\x00\x02IM": "7.3"}
_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO")
_SCP_POINTERS = 22


def is_wfdb(path: Path, head: bytes) -> bool:
    """Recognise a WFDB header, or a record with a header. A file that its header does not list is not part of the record."""
    header = header_path(path)
    try:
        if not header.is_file():
            return False
    except OSError:
        return False  # the name is too long with the suffix
    if header == path or not path.is_file():
        return True
    try:
        with header.open("rb") as stream:
            return path.name.encode() in stream.read(LARGEST_HEADER)
    except OSError:
        return True  # the reader reports the error


def matlab_version(head: bytes) -> str | None:
    """Return ``4``, ``5`` (also for versions 6 and 7) or ``7.3``; ``None`` for other files.

    Bytes 124 to 127 hold the version, except in version 4, which is recognised by its first variable.
    """
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
    """Recognise a MATLAB file of any version."""
    return matlab_version(head) is not None


def is_hdf5(path: Path, head: bytes) -> bool:
    """Recognise an HDF5 file. A user block, whose size is a power of two, may precede the signature."""
    return any(head[start : start + 8] == _HDF5 for start in (0, 512, 1024, 2048))


def is_npy(path: Path, head: bytes) -> bool:
    """Recognise a NumPy ``.npy`` file."""
    return head.startswith(b"\x93NUMPY")


def is_npz(path: Path, head: bytes) -> bool:
    """Recognise a zip archive whose first file is a NumPy array; other zip files, such as documents, are not matched."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    (length,) = struct.unpack("<H", head[26:28])
    return head[30 : 30 + length].endswith(b".npy")


def is_edf(path: Path, head: bytes) -> bool:
    """Recognise version 0 of EDF with a header size that fits its number of signals."""
    if head[:8] != b"0       " or len(head) < 256:
        return False
    size, count = head[184:192].strip(), head[252:256].strip()
    return size.isdigit() and count.isdigit() and int(size) == 256 * (int(count) + 1)


def is_csv(path: Path, head: bytes) -> bool:
    """Recognise a text table of samples."""
    return is_sample_table(head)


def has_root(name: str) -> Callable[[Path, bytes], bool]:
    """Return a function that recognises XML by the name of its root element, ignoring the namespace."""
    return lambda path, head: root_name(head) == name


def is_mortara(path: Path, head: bytes) -> bool:
    """Recognise Mortara ELI XML by its root element and an attribute, because ``<ECG>`` alone is ambiguous."""
    # UTF-16 has a zero byte next to each letter
    return root_name(head) == "ECG" and b"ACQUISITION_TIME" in head.replace(b"\0", b"")


def is_dicom(path: Path, head: bytes) -> bool:
    """Recognise the DICOM prefix or, in files without preamble, an early element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack_from(f"{order}HHI", head)
        explicit, implicit = head[4:6] in _FIRST_VRS, order == "<" and 0 < length <= 64
        if group in (0x0002, 0x0008) and element <= 0x0018 and (explicit or implicit):
            return True
    return False


def is_scp(path: Path, head: bytes) -> bool:
    """Recognise section 0 of SCP-ECG (EN 1064), which holds a pointer to itself."""
    if len(head) < _SCP_POINTERS + 10:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    first, _, index = struct.unpack_from("<HII", head, _SCP_POINTERS)
    return (number, first, index) == (0, 0, 7) and length >= 26 and length % 10 == 6

"""File format signatures: functions that detect a format from the path and the first bytes of a file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

from ecgssl.files import refuse_pipe
from ecgssl.io.files.apple_health_reader import is_health_export
from ecgssl.io.files.csv_header import is_sample_table, table_of_other_content
from ecgssl.io.vendors.mfer_layout import is_mfer_head
from ecgssl.io.vendors.xml_document import root_name
from ecgssl.io.wfdb.header import LARGEST_HEADER
from ecgssl.io.wfdb.reader import header_path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB = {b"\x00\x01IM": "5", b"\x01\x00MI": "5", b"\x00\x02IM": "7.3"}
_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO")
_SCP_POINTERS = 22


def is_wfdb(path: Path, head: bytes) -> bool:
    """Return whether a path is a WFDB header, a record name with a header, or a signal file listed in its header."""
    header = header_path(path)
    try:
        if not header.is_file():
            return False
    except OSError:
        return False  # the path with the suffix is too long for the file system
    if header == path or not path.is_file():
        return True
    try:
        with header.open("rb") as stream:
            listed = stream.read(LARGEST_HEADER)
        return any(normalize(form, path.name).encode() in listed for form in ("NFC", "NFD"))
    except OSError:
        return True  # the reader reports the error


def matlab_version(head: bytes) -> str | None:
    """Return the version of a MATLAB file: ``4``, ``5`` (also for 6 and 7) or ``7.3``; ``None`` for other files.

    Bytes 124 to 127 contain the version. Version 4 has no such field and is detected from its first variable.
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
    """Return whether a file is a MATLAB file of any version."""
    return matlab_version(head) is not None


def is_hdf5(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5. The signature may follow a user block of 512, 1024 or 2048 bytes."""
    return any(head[start : start + 8] == _HDF5 for start in (0, 512, 1024, 2048))


def is_npy(path: Path, head: bytes) -> bool:
    """Return whether a file is a NumPy ``.npy`` file."""
    return head.startswith(b"\x93NUMPY")


def is_npz(path: Path, head: bytes) -> bool:
    """Return whether a file is a zip archive whose first entry is a NumPy array."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    (length,) = struct.unpack("<H", head[26:28])
    return head[30 : 30 + length].endswith(b".npy")


def is_edf(path: Path, head: bytes) -> bool:
    """Return whether a file is EDF: version 0, and a header size that matches the number of signals."""
    return head[:8] == b"0       " and _has_edf_header(head)


def is_bdf(path: Path, head: bytes) -> bool:
    """Return whether a file is BDF: its version, and a header size that matches the number of signals."""
    return head[:8] == b"\xffBIOSEMI" and _has_edf_header(head)


def _has_edf_header(head: bytes) -> bool:
    if len(head) < 256:
        return False
    size, count = head[184:192].strip(), head[252:256].strip()
    return size.isdigit() and count.isdigit() and int(size) == 256 * (int(count) + 1)


def is_atc(path: Path, head: bytes) -> bool:
    """Return whether a file is an ATC file of an AliveCor device."""
    return head.startswith(b"ALIVE\0\0\0")


def is_ishne(path: Path, head: bytes) -> bool:
    """Return whether a file is an ISHNE Holter file."""
    return head.startswith(b"ISHNE1.0")


def is_mfer(path: Path, head: bytes) -> bool:
    """Return whether a file is MFER (ISO 22077)."""
    return is_mfer_head(head)


def is_csv(path: Path, head: bytes) -> bool:
    """Return whether a file is a text table of samples."""
    return is_sample_table(head)


def is_apple_health(path: Path, head: bytes) -> bool:
    """Return whether a file is an electrocardiogram exported by the Health app of Apple."""
    return is_health_export(head)


def _start(path: Path) -> bytes | None:
    """Return the first bytes of a file; ``None`` if it cannot be opened."""
    try:
        refuse_pipe(path)
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError:
        return None


def is_sample_file(path: Path) -> bool:
    """Return whether a text file starts like samples of a recording, not like a manifest; ``False`` if it cannot be opened."""
    head = _start(path)
    return head is not None and (is_sample_table(head) or is_health_export(head))


def other_table(path: Path) -> tuple[str, str] | None:
    """Return description and fix for a table that is not a recording, such as a manifest; ``None`` for other files.

    Text tables need the suffix .csv, .tsv or .txt. Parquet files are recognised by their content.
    """
    head = _start(path)
    if head is None:
        return None
    fix = "Use the files that it lists, or check the table with 'ecgssl check TABLE'"
    if head.startswith(b"PAR1"):
        return "is a Parquet table, not a recording", fix
    found = table_of_other_content(head) if path.suffix.lower() in (".csv", ".tsv", ".txt") else None
    if found == "recordings":
        return "is a table of recordings, not a recording", fix
    if found == "unknown":
        what = "is a table, but not of samples, which has a first row of lead names and then rows of numbers"
        return what, "Add the row of lead names, or check a table of recordings with 'ecgssl check TABLE'"
    return None


def has_root(name: str) -> Callable[[Path, bytes], bool]:
    """Return a function that checks whether a file is XML with this root element, ignoring the namespace."""
    return lambda path, head: root_name(head) == name


def is_mortara(path: Path, head: bytes) -> bool:
    """Return whether a file is Mortara ELI XML: root element ``<ECG>`` with attribute ``ACQUISITION_TIME``."""
    # UTF-16 stores a zero byte with each ASCII character
    return root_name(head) == "ECG" and b"ACQUISITION_TIME" in head.replace(b"\0", b"")


def is_dicom(path: Path, head: bytes) -> bool:
    """Return whether a file has the DICOM prefix or, without a preamble, starts with an element of group 2 or 8."""
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
    """Return whether a file is SCP-ECG (EN 1064): section 0 starts with a pointer to itself."""
    if len(head) < _SCP_POINTERS + 10:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    first, _, index = struct.unpack_from("<HII", head, _SCP_POINTERS)
    return (number, first, index) == (0, 0, 7) and length >= 26 and length % 10 == 6

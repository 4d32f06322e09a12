"""How hospital formats are recognised from the first bytes of a file, whatever it is called."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from ecgssl.io.vendors.xml_document import root_name

_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO")
_SCP_POINTERS = 22


def has_root(name: str) -> Callable[[Path, bytes], bool]:
    """Recognises XML by its root element, without namespace."""

    def recognises(path: Path, head: bytes) -> bool:
        return root_name(head) == name

    return recognises


def is_mortara(path: Path, head: bytes) -> bool:
    """``<ECG>`` alone says little; UTF-16 has a zero beside each letter."""
    return root_name(head) == "ECG" and b"ACQUISITION_TIME" in head.replace(b"\0", b"")


def is_dicom(path: Path, head: bytes) -> bool:
    """The prefix of the standard, or an early element of groups 2 or 8 where preamble and prefix were left out."""
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
    """Section 0 of EN 1064 at its place, and in it the pointer to section 0 itself."""
    if len(head) < _SCP_POINTERS + 10:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    first, _, index = struct.unpack_from("<HII", head, _SCP_POINTERS)
    return (number, first, index) == (0, 0, 7) and length >= 26 and length % 10 == 6

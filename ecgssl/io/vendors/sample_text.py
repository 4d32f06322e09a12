"""Samples that an XML file spells out, as base64 of binary numbers or as decimal text, checked before they are believed."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.read_errors import read_error

_DECIMAL = {
    ",": re.compile(r"\s*+[-+]?[0-9]{1,9}+\s*+(?:,\s*+[-+]?[0-9]{1,9}+\s*+)*+,?\s*+", re.ASCII),
    " ": re.compile(r"\s*+[-+]?[0-9]{1,9}+(?:\s++[-+]?[0-9]{1,9}+)*+\s*+", re.ASCII),
}
_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}+")


def decode_base64(path: Path, field: str, text: str) -> bytes:
    """Bytes of a base64 text, white space allowed between its characters.

    Args:
        path, field: name it in messages.
        text: as the file holds it.

    Raises:
        RecordingError: ``content`` where it holds characters that are no base64, ``truncated`` where it ends amid a group.
    """
    compact = "".join(text.split())
    if not _BASE64.fullmatch(compact):
        raise read_error("content", path, field, "the samples are not base64")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise read_error("truncated", path, field, "the base64 of the samples is cut off") from None


def parse_integers(path: Path, field: str, text: str, separator: str) -> NDArray[np.float64]:
    """(samples,) whole numbers of a decimal text; empty for an empty text.

    Args:
        path, field: name it in messages.
        text: as the file holds it.
        separator: a comma, with or without one at the end, or a blank, which stands for any white space.

    Raises:
        RecordingError: ``content`` where it holds anything else than whole numbers of at most 9 digits.
    """
    if not text.strip():
        return np.empty(0)
    if not _DECIMAL[separator].fullmatch(text):
        raise read_error("content", path, field, "the samples are not whole numbers")
    return np.fromstring(text.rstrip().rstrip(","), dtype=np.float64, sep=separator)


def count_words(text: str) -> int:
    """How many words, separated by white space, a text has, without making them."""
    blank = np.frombuffer(b" " + text.encode("utf-8", "replace"), dtype=np.uint8) <= ord(" ")
    return int(np.count_nonzero(blank[:-1] & ~blank[1:]))


def check_length(path: Path, field: str, found: float, declared: float | None, what: str) -> None:
    """Compare a length with what the file declares, which may be nothing.

    Raises:
        RecordingError: ``truncated`` where less is found, ``length`` where more.
    """
    if declared is not None and found != declared:
        reason = "truncated" if found < declared else "length"
        raise read_error(reason, path, field, f"{found:g} {what}, the file declares {declared:g}")


def same_length(path: Path, rows: list[NDArray[Any]]) -> None:
    """Refuse leads of different lengths.

    Raises:
        RecordingError: ``length``.
    """
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        what = f"have different lengths ({', '.join(map(str, lengths[:4]))} samples)"
        raise read_error("length", path, "leads", what)

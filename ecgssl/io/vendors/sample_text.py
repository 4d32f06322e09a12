"""Decoding of ECG samples in XML files: base64 and decimal text."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.read_errors import read_error

_DECIMAL = {
    ",": re.compile(r"\s*+[-+]?[0-9]{1,9}+\s*+(?:,\s*+[-+]?[0-9]{1,9}+\s*+)*+,?\s*+", re.ASCII),
    " ": re.compile(r"\s*+[-+]?[0-9]{1,9}+(?:\s++[-+]?[0-9]{1,9}+)*+\s*+", re.ASCII),
}
_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}+")


def decode_base64(path: Path, field: str, text: str) -> bytes:
    """Decode base64 text, which may contain white space, to bytes.

    Args:
        path, field: file and element for messages.
        text: content of the element.

    Raises:
        RecordingError: reason ``content`` for characters that are not base64, or ``truncated`` if the last group is
            incomplete.
    """
    compact = "".join(text.split())
    if not _BASE64.fullmatch(compact):
        raise read_error("content", path, field, "the samples are not base64")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise read_error("truncated", path, field, "the base64 text of the samples is truncated") from None


def parse_integers(path: Path, field: str, text: str, separator: str) -> NDArray[np.float64]:
    """Parse a text of integers to an array (samples,); empty text gives an empty array.

    Args:
        path, field: file and element for messages.
        text: content of the element.
        separator: ``","``, which is also allowed at the end, or ``" "``, which matches any white space.

    Raises:
        RecordingError: reason ``content`` if the text contains anything else, or integers with more than 9 digits.
    """
    if not text.strip():
        return np.empty(0)
    if not _DECIMAL[separator].fullmatch(text):
        raise read_error("content", path, field, "the samples are not integers")
    return np.fromstring(text.rstrip().rstrip(","), dtype=np.float64, sep=separator)


def count_words(text: str) -> int:
    """Count the words separated by white space, without creating a list of them."""
    blank = np.frombuffer(b" " + text.encode("utf-8", "replace"), dtype=np.uint8) <= ord(" ")
    return int(np.count_nonzero(blank[:-1] & ~blank[1:]))


def check_length(path: Path, field: str, found: float, declared: float | None, what: str) -> None:
    """Check that a length equals the length declared in the file; ``declared=None`` disables the check.

    Raises:
        RecordingError: reason ``truncated`` if the length is smaller than declared, or ``length`` if it is larger.
    """
    if declared is not None and found != declared:
        reason, more = ("truncated", "fewer") if found < declared else ("length", "more")
        raise read_error(reason, path, field, f"{found:g} {what}, {more} than the file declares")

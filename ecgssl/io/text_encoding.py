"""Decoding of text files in UTF-8 or Latin-1."""

from __future__ import annotations


def decode(data: bytes) -> str:
    """Decode text as UTF-8, with or without byte order mark, or as Latin-1 if it is not valid UTF-8.

    The micro sign of uV is one byte in Latin-1 and two bytes in UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")

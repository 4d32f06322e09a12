"""Encoding of text in files: UTF-8, or Latin-1 in files of older programs."""

from __future__ import annotations


def decode(data: bytes) -> str:
    """Return the text in UTF-8, with or without byte order mark, or otherwise in Latin-1, which decodes any bytes.

    The micro sign of uV is one byte in Latin-1 and two bytes in UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")

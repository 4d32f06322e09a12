"""Decoding of index columns with hexadecimal texts, without a Python object per recording."""

from __future__ import annotations

import binascii

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def decode_hex(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """Return the bytes (n, width) of a text column whose values are hexadecimal and equally long.

    Args:
        column: column of n texts with ``2 * width`` hexadecimal digits each.
        width: number of bytes per text.

    Raises:
        ValueError: a text is missing, has another length, or is not hexadecimal.
    """
    parts = [np.zeros((0, width), np.uint8)]
    for chunk in column.cast(pa.large_string()).chunks:
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        if chunk.null_count or (np.diff(ends) != 2 * width).any():
            raise ValueError(f"texts do not all have {2 * width} hexadecimal digits")
        raw = binascii.unhexlify(memoryview(data)[ends[0] : ends[-1]])
        parts.append(np.frombuffer(raw, np.uint8).reshape(-1, width))
    return np.concatenate(parts)

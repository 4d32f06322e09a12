"""Safe reading of samples from untrusted HDF5 datasets.

h5py returns the positions of the chunks in the file; this module reads and decompresses the chunks. It replaces the
decompression of libhdf5, which crashes on some damaged chunks and has no size limit. Filters: The HDF Group, "HDF5 File
Format Specification", version 3.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import AGAIN, read_error

if TYPE_CHECKING:
    import h5py

LARGEST_CHUNK = 256 << 20
"""Largest size of a decompressed chunk in bytes."""

MOST_CHUNKS = 100_000

NO_LINK = "Copy the target of the link into the file"
SMALLER = "Write the recordings into smaller files or chunks"
"""Suggested fixes in errors about links and about files or chunks that are too large."""

_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3
_COMPACT, _CONTIGUOUS = 0, 1


class Samples:
    """HDF5 dataset of real numbers; values are read by indexing.

    Args:
        path: path of the HDF5 file.
        dataset: h5py dataset; its file must stay open while this object is used.

    Attributes:
        shape, dtype: shape and data type of the dataset.

    Raises:
        RecordingError: reason ``content`` (not plain integers or floating-point numbers), ``link`` (stored outside the
            file), ``compressed`` (filters other than gzip, shuffle and fletcher32), ``unreadable`` (invalid shuffle
            filter) or ``too_large`` (chunks above the limit).
    """

    def __init__(self, path: Path, dataset: h5py.Dataset) -> None:
        import h5py

        self._path, self._dataset, self._size = path, dataset, path.stat().st_size
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype[Any] = dataset.dtype
        if dataset.external or dataset.is_virtual:
            raise self._error("link", "is stored in another file", NO_LINK)
        if self.dtype.kind not in "iuf" or not dataset.id.get_type().equal(h5py.h5t.py_create(self.dtype)):
            what = f"has type {self.dtype.name[:20]}, not a plain number type"
            raise self._error("content", what, "Store the samples as integers or floating-point numbers")
        plan = dataset.id.get_create_plist()
        self._filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        for i, code in enumerate(self._filters):
            values = plan.get_filter(i)[2]
            if code not in (_DEFLATE, _SHUFFLE, _FLETCHER):
                fix = "Compress it with gzip, with or without shuffle and fletcher32, or not at all"
                raise self._error("compressed", "uses an unsupported filter", fix)
            if code == _SHUFFLE and values[:1] != (self.dtype.itemsize,):
                raise self._error("unreadable", "its shuffle filter does not match the size of its numbers")
        self._layout = plan.get_layout()
        self._chunks: tuple[int, ...] = dataset.chunks or ()
        if math.prod(self._chunks) * self.dtype.itemsize > LARGEST_CHUNK:
            raise self._error("too_large", f"has chunks of more than {LARGEST_CHUNK >> 20} MiB", SMALLER)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return all values; ``key`` should be ``...`` and is not checked."""
        return self.rows(0, self.shape[0])

    def rows(self, first: int, end: int) -> NDArray[Any]:
        """Return the values of rows ``first`` to ``end - 1`` along the first axis.

        Raises:
            RecordingError: reason ``truncated`` (data beyond the end of the file or never written), ``unreadable`` or
                ``checksum`` (damaged data) or ``too_large`` (more than ``MOST_CHUNKS`` chunks).
        """
        if self._chunks:
            return self._from_chunks(first, end)
        if self._layout == _COMPACT:
            # compact data (at most 64 KiB) are stored in the header, so h5py can read them
            found: NDArray[Any] = self._dataset[first:end]
            return found
        shape = (end - first, *self.shape[1:])
        start = self._dataset.id.get_offset()
        if start is None:
            raise self._error("truncated", "was never written")
        width = math.prod(shape[1:]) * self.dtype.itemsize
        with self._path.open("rb") as stream:
            data = self._fetch(stream, start + first * width, (end - first) * width)
        return np.frombuffer(data, self.dtype).reshape(shape)

    def _from_chunks(self, first: int, end: int) -> NDArray[Any]:
        starts = [range(first // self._chunks[0] * self._chunks[0], end, self._chunks[0])]
        starts += [range(0, side, step) for side, step in zip(self.shape[1:], self._chunks[1:], strict=True)]
        if math.prod(map(len, starts)) > MOST_CHUNKS:
            raise self._error("too_large", f"has more than {MOST_CHUNKS} chunks", SMALLER)
        out = np.empty((end - first, *self.shape[1:]), self.dtype)
        with self._path.open("rb") as stream:
            for corner in itertools.product(*starts):
                info = self._dataset.id.get_chunk_info_by_coord(corner)
                if info.byte_offset is None:
                    raise self._error("truncated", "some chunks were never written")
                if info.chunk_offset != corner:
                    raise self._error("unreadable", "its chunk index is damaged")
                packed = self._fetch(stream, info.byte_offset, info.size)
                chunk = np.frombuffer(self._unpack(packed, info.filter_mask), self.dtype).reshape(self._chunks)
                self._place(out, chunk, (corner[0] - first, *corner[1:]))
        return out

    def _place(self, out: NDArray[Any], chunk: NDArray[Any], corner: Sequence[int]) -> None:
        """Copy the part of a chunk that overlaps with ``out``; ``corner`` is the position of the chunk in ``out``."""
        inside = [
            (max(start, 0), min(start + step, side))
            for start, step, side in zip(corner, self._chunks, out.shape, strict=True)
        ]
        source = tuple(slice(low - start, high - start) for (low, high), start in zip(inside, corner, strict=True))
        out[tuple(slice(low, high) for low, high in inside)] = chunk[source]

    def _fetch(self, stream: BinaryIO, start: int, length: int) -> bytes:
        if not 0 <= start <= start + length <= self._size:
            raise self._error("truncated", f"ends beyond the {self._size} bytes of the file")
        stream.seek(start)
        return stream.read(length)

    def _unpack(self, data: bytes, skipped: int) -> bytes:
        """Return the decoded bytes of a chunk. ``skipped`` is a bit mask of filters that were not applied."""
        whole = math.prod(self._chunks) * self.dtype.itemsize
        for number, code in reversed(list(enumerate(self._filters))):
            if skipped >> number & 1:
                continue
            if code == _FLETCHER:
                data, checksum = data[:-4], data[-4:]
                if checksum not in _fletcher_32(data):
                    raise self._error("checksum", "a chunk does not match its checksum")
            elif code == _DEFLATE:
                unpacker = zlib.decompressobj()
                try:
                    data = unpacker.decompress(data, whole + 4)
                except zlib.error as error:
                    raise self._error("unreadable", "a chunk is damaged") from error
            elif len(data) == whole:
                data = np.frombuffer(data, np.uint8).reshape(self.dtype.itemsize, -1).T.tobytes()
        if len(data) != whole:
            raise self._error("unreadable", "a chunk does not have the declared number of bytes")
        return data

    def _error(self, reason: str, what: str, fix: str = AGAIN) -> RecordingError:
        return read_error(reason, self._path, dataset_field(self._dataset), what, fix)


def dataset_field(dataset: h5py.Dataset) -> str:
    """Return ``dataset``, with the name of the dataset if it is a usual one; other names may identify a patient."""
    name = str(dataset.name).strip("/")
    return f"dataset {name}" if name in ("ecg", "tracings", "exam_id", "data", "signal", "val") else "dataset"


def _fletcher_32(data: bytes) -> tuple[bytes, bytes]:
    """Return the Fletcher-32 checksum as stored by HDF5 since version 1.6.3 and by older versions (swapped bytes)."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2")
    first = second = 0
    for start in range(0, len(words), 1 << 16):
        block = words[start : start + (1 << 16)].astype(np.int64)
        # in the second sum, the weight of a word is the number of words from it to the end
        second += len(block) * first + int(block @ np.arange(len(block), 0, -1))
        first += int(block.sum())
    # sums modulo 65535, but non-zero multiples of 65535 are stored as 65535
    low, high = ((total % 65535 or 65535) if total else 0 for total in (first, second))
    stored = (high << 16 | low).to_bytes(4, "little")
    return stored, bytes(stored[i] for i in (1, 0, 3, 2))

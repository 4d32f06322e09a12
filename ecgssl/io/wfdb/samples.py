"""Decoding of WFDB signal files in all storage formats.

Formats: PhysioNet, "WFDB signal file formats", signal(5). The digital values of missing samples are the same as in the
package wfdb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.read_errors import file_errors, parser_errors, read_error

Bytes = NDArray[np.uint8]
Integers = NDArray[Any]


@dataclass(frozen=True)
class Storage:
    """Storage format of WFDB signal files.

    Args:
        samples, bytes: number of samples and of bytes in a group, the unit in which samples are packed. The last group of a
            file may be incomplete or padded.
        missing: digital value of missing samples; ``None`` if the format has no such value.
        unpack: function that converts the bytes of complete groups to samples.
    """

    samples: int
    bytes: int
    missing: int | None
    unpack: Callable[[Bytes], Integers]


def _signed(values: Integers, bits: int) -> Integers:
    """Convert integers in two's complement with ``bits`` bits to signed values."""
    half = 1 << (bits - 1)
    return ((values + half) & (2 * half - 1)) - half


def _unpack_24(data: Bytes) -> Integers:
    low, middle, high = data.reshape(-1, 3).astype(np.int32).T
    return _signed(low | middle << 8 | high << 16, 24)


def _unpack_212(data: Bytes) -> Integers:
    a, b, c = data.reshape(-1, 3).astype(np.int16).T
    return _signed(np.stack([a | (b & 0x0F) << 8, c | (b >> 4) << 8], axis=1).ravel(), 12)


def _unpack_310(data: Bytes) -> Integers:
    a, b, c, d = data.reshape(-1, 4).astype(np.int16).T
    triplet = [a >> 1 | (b & 0x07) << 7, c >> 1 | (d & 0x07) << 7, b >> 3 | (d >> 3) << 5]
    return _signed(np.stack(triplet, axis=1).ravel(), 10)


def _unpack_311(data: Bytes) -> Integers:
    word = data.view("<u4").astype(np.int32)
    return _signed(np.stack([word & 0x3FF, word >> 10 & 0x3FF, word >> 20 & 0x3FF], axis=1).ravel(), 10)


STORAGE = {
    # format 8 stores 8-bit differences; the reader computes their cumulative sum
    8: Storage(1, 1, None, lambda data: data.view("i1")),
    16: Storage(1, 2, -(1 << 15), lambda data: data.view("<i2")),
    24: Storage(1, 3, -(1 << 23), _unpack_24),
    32: Storage(1, 4, -(1 << 31), lambda data: data.view("<i4")),
    61: Storage(1, 2, -(1 << 15), lambda data: data.view(">i2")),
    80: Storage(1, 1, -(1 << 7), lambda data: data.astype(np.int16) - 128),
    160: Storage(1, 2, -(1 << 15), lambda data: data.view("<u2").astype(np.int32) - 32768),
    212: Storage(2, 3, -(1 << 11), _unpack_212),
    310: Storage(3, 4, -(1 << 9), _unpack_310),
    311: Storage(3, 4, -(1 << 9), _unpack_311),
}
"""Uncompressed WFDB storage formats by number."""

FLAC = {508: -(1 << 7), 516: -(1 << 15), 524: -(1 << 23)}
"""Compressed storage formats (decoded by the package wfdb) with their digital value of missing samples."""


def missing_value(storage_format: int) -> int | None:
    """Return the digital value of missing samples in a storage format; ``None`` if there is none."""
    return STORAGE[storage_format].missing if storage_format in STORAGE else FLAC[storage_format]


def count_frames(hea: Path, dat: Path, storage_format: int, per_frame: int, offset: int, frames: int | None) -> int:
    """Check the size of a signal file and return its number of frames.

    Args:
        hea: path of the header.
        dat: path of the signal file.
        storage_format: key of ``STORAGE``.
        per_frame: number of samples per frame, over all channels in the file.
        offset: number of bytes before the first sample.
        frames: number of frames declared in the header; ``None`` if absent.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable``, ``truncated`` or ``length``.
    """
    storage = STORAGE[storage_format]
    with file_errors(dat, *_missing_texts(hea, dat)):
        size = dat.stat().st_size - offset
    if frames is None:
        frames = max(size, 0) * storage.samples // (storage.bytes * per_frame)
        if frames == 0 or size > _whole_groups(storage, frames * per_frame):
            what = f"{max(size, 0)} bytes are not a whole number of frames"
            raise read_error("truncated", dat, "size", what)
        return frames
    least = _needed(storage, frames * per_frame)
    if size < least:
        raise read_error("truncated", dat, "size", f"{max(size, 0)} bytes of samples, fewer than the header declares")
    if size > _whole_groups(storage, frames * per_frame):
        raise read_error("length", dat, "size", f"{size} bytes of samples, more than the header declares")
    return frames


def read_samples(dat: Path, storage_format: int, count: int, offset: int) -> Integers:
    """Return the samples of a signal file in stored order. Check the size with ``count_frames`` first.

    Args:
        dat: path of the signal file.
        storage_format: key of ``STORAGE``.
        count: number of samples.
        offset: number of bytes before the first sample.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable``, or ``truncated`` if the file has too few samples.
    """
    storage = STORAGE[storage_format]
    needed = _needed(storage, count)
    data, count_read = np.empty(needed, np.uint8), 0
    # readinto takes half the time of np.fromfile
    with file_errors(dat), dat.open("rb", buffering=0) as stream:
        stream.seek(offset)
        while count_read < needed and (more := stream.readinto(data[count_read:].data)):
            count_read += more
    if count_read < needed:
        raise read_error("truncated", dat, "size", f"{count_read} bytes of samples, fewer than the header declares")
    padding = _whole_groups(storage, count) - needed
    return storage.unpack(np.pad(data, (0, padding)) if padding else data)[:count]


def read_compressed(hea: Path, dat: Path, channels: list[int], frames: int, per_frame: int) -> list[Integers]:
    """Return the samples of each channel of a FLAC signal file, decoded by the package wfdb.

    Args:
        hea: path of the header.
        dat: path of the signal file; only its existence is checked, because wfdb finds it with the header.
        channels: indices of the channels in the header.
        frames: number of frames in the header.
        per_frame: number of samples of one channel per frame.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable``, or ``truncated`` if the number of samples differs
            from the declared number.
    """
    import wfdb

    with file_errors(dat, *_missing_texts(hea, dat)):
        dat.stat()
    with parser_errors(dat, "wfdb"):
        record = wfdb.rdrecord(
            str(hea.with_suffix("")), channels=channels, physical=False, smooth_frames=False, ignore_skew=True
        )
        samples: list[Integers] = list(record.e_d_signal)
    if any(len(channel) != frames * per_frame for channel in samples):
        raise read_error("truncated", dat, "length", "there are fewer frames than the header declares")
    return samples


def _missing_texts(hea: Path, dat: Path) -> tuple[str, str]:
    """Return the message and the fix for a signal file that does not exist.

    The message contains no name, because names of files can contain patient data. The fix repeats the name only if it
    is the name of the header with the suffix of a signal file.
    """
    if dat.stem == hea.stem and dat.suffix in (".dat", ".mat"):
        what = f"is absent; the header needs the signal file of the same name with the suffix {dat.suffix}"
        return what, f"Add {dat.name} to the folder of the header"
    what = "is absent; the header needs a signal file of another name, which it contains"
    return what, "Add the signal file that is named in the header to the folder of the header"


def _needed(storage: Storage, count: int) -> int:
    """Return the number of bytes of ``count`` samples, without padding in the last group."""
    whole, rest = divmod(count, storage.samples)
    # one sample of an incomplete group needs 2 bytes; two samples need 3 bytes in format 311 and 4 in format 310
    extra = {0: 0, 1: 2, 2: 3 if storage.unpack is _unpack_311 else storage.bytes}[rest]
    return whole * storage.bytes + extra


def _whole_groups(storage: Storage, count: int) -> int:
    return -(-count // storage.samples) * storage.bytes

"""Readers for NumPy files: ``.npy`` with one or more recordings, and ``.npz`` with samples and metadata."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.files.array_layout import LEAD_NAMES, RATE_NAMES, UNIT_NAMES, pick_row, read_array, row_names
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import parser_errors, read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import LARGEST, SPLIT

_LARGEST_ENTRY = 8 * LARGEST
_LARGEST_TEXT = 1 << 16
_LARGEST_HEADER = 1 << 16
_SAVEZ = "Write it with numpy.savez(file, signal=..., sampling_rate=..., leads=..., unit=...)"


def read_npy(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read one recording of an ``.npy`` file. The file is memory-mapped, and pickled objects are refused.

    Args:
        path: path of a file with an array (leads, samples) or (samples, leads), or an array of several recordings
            (recordings, leads, samples). A second axis of length 1 is allowed, as in EchoNext.
        member: number of the recording, from 0, if the file has several.
        overrides: sampling rate, unit and leads, because the file does not contain metadata.

    Raises:
        RecordingError: reason ``unreadable`` or ``length`` (the file is longer than its header declares). Errors of
            ``read_array`` and ``pick_row`` propagate.
    """
    array = _map_array(path)
    chosen = pick_row(path, array.shape, member)
    record_id = path.stem if member is None else member
    return read_array(path, array[chosen], overrides, record_id=record_id, name="npy")


def npy_members(path: Path) -> tuple[str, ...]:
    """Return the row numbers of an ``.npy`` file with several recordings; empty for a single recording."""
    return row_names(path, _map_array(path).shape)


def read_npz(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an ``.npz`` file with ``signal`` (leads, samples), ``sampling_rate`` in Hz, ``leads`` and ``unit``.

    Args:
        path: path of the file. Only ``signal`` is required; set missing metadata with ``overrides``.
            ``ecgssl.io.files.array_layout`` lists other accepted names of the metadata. Other arrays are ignored.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Raises:
        RecordingError: reason ``unreadable``, ``content`` (no ``signal``, or an array of unexpected type or size),
            ``too_large`` or ``compressed`` (with a method that NumPy does not use). Errors of ``read_array`` propagate.
    """
    refuse_member(path, member)
    with parser_errors(path, "numpy"), zipfile.ZipFile(path) as archive:
        infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "signal" not in infos:
            raise read_error("content", path, "signal", "the file has no array with this name", _SAVEZ)
        signal = _read_entry(path, archive, infos["signal"], _LARGEST_ENTRY)
        known = {*RATE_NAMES, *UNIT_NAMES, *LEAD_NAMES}
        entries = {
            key: _read_entry(path, archive, info, _LARGEST_TEXT) for key, info in infos.items() if key.lower() in known
        }
    return read_array(path, signal, overrides, record_id=path.stem, name="npz", entries=entries)


def _map_array(path: Path) -> NDArray[Any]:
    with parser_errors(path, "numpy"):
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        surplus = path.stat().st_size - array.offset - array.nbytes
    if surplus:
        raise read_error("length", path, "size", f"the file is {surplus} bytes longer than its header declares")
    mapped: NDArray[Any] = array
    return mapped


def _read_entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int) -> NDArray[Any]:
    """Return one array of an archive, after checking its declared size."""
    field = info.filename[:40]
    if info.file_size > largest:
        raise read_error("too_large", path, field, f"declares more than {largest} bytes", SPLIT)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile decompresses other methods without a limit; 4 KiB of bzip2 can expand to gigabytes
        fix = "Write it with numpy.savez or numpy.savez_compressed"
        raise read_error("compressed", path, field, "is compressed with an unsupported method", fix)
    data = io.BytesIO()
    with archive.open(info) as stream:
        data.write(stream.read(_LARGEST_HEADER))
        data.seek(0)
        version = np.lib.format.read_magic(data)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(data)
        start = data.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != info.file_size - start:
            raise read_error("content", path, field, "differs from its declared type or size", _SAVEZ)
        data.seek(0, io.SEEK_END)
        shutil.copyfileobj(stream, data, 1 << 20)
    values: NDArray[Any] = np.frombuffer(data.getbuffer()[start:], dtype)
    return values.reshape(shape, order="F" if fortran else "C")

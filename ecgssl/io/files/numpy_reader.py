"""NumPy files to ``Recording``: ``.npy`` with one recording or many, ``.npz`` that says what its samples are."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.files.array_layout import (
    LEAD_NAMES,
    RATE_NAMES,
    UNIT_NAMES,
    pick_row,
    read_array,
    row_names,
    said_leads,
    said_rate,
    said_unit,
)
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import parser_errors, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import LARGEST

_LARGEST_ENTRY = 8 * LARGEST
_LARGEST_WORD = 1 << 16
_LARGEST_HEADER = 1 << 16


def read_npy(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read one recording of an ``.npy`` file, which is mapped, never loaded whole and never unpickled.

    Args:
        path: the file; an array (leads, samples) or (samples, leads), a list of such, (recordings, leads, samples), or
            with an axis of length 1 behind the first, as EchoNext has it.
        member: number of the recording in a list, from 0.
        overrides: rate, unit and leads: the file says none of them.

    Raises:
        RecordingError: ``unreadable``, ``length`` (more bytes than declared); and as ``read_array`` and ``pick_row``.
    """
    array = _mapped(path)
    chosen = pick_row(path, array.shape, member)
    record_id = path.stem if member is None else member
    return read_array(path, array[chosen], overrides, record_id=record_id, name="npy")


def npy_members(path: Path) -> tuple[str, ...]:
    """Row numbers of the recordings in a list; empty for a single recording."""
    return row_names(path, _mapped(path).shape)


def read_npz(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an ``.npz`` file with ``signal`` (leads, samples), ``sampling_rate`` in Hz, ``leads`` and ``unit``.

    Args:
        path: the file. Keys other than ``signal`` may be left out where they are stated; ``said_rate`` and its neighbours
            tell what else they may be called. Further arrays are not looked at.
        member: none, a file is one recording.
        overrides: wins over the file.

    Raises:
        RecordingError: ``unreadable``, ``content`` (no ``signal``, or arrays other than they declare), ``too_large``,
            ``compressed`` (by other means than NumPy's); and as ``read_array``.
    """
    refuse_member(path, member)
    with parser_errors(path, "numpy"), zipfile.ZipFile(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "signal" not in entries:
            raise _error("content", path, "signal", "there is no array of this name")
        signal = _entry(path, archive, entries["signal"], _LARGEST_ENTRY)
        words = {*RATE_NAMES, *UNIT_NAMES, *LEAD_NAMES} & {key.lower() for key in entries}
        found = {
            key: _entry(path, archive, info, _LARGEST_WORD) for key, info in entries.items() if key.lower() in words
        }
    return read_array(
        path,
        signal,
        overrides,
        record_id=path.stem,
        name="npz",
        sampling_rate=said_rate(found),
        unit=said_unit(found),
        leads=said_leads(found),
    )


def _mapped(path: Path) -> NDArray[Any]:
    with parser_errors(path, "numpy"):
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        surplus = path.stat().st_size - array.offset - array.nbytes
    if surplus:
        raise _error("length", path, "size", f"{surplus} bytes more than the array that it declares")
    mapped: NDArray[Any] = array
    return mapped


def _entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int) -> NDArray[Any]:
    """One array of an archive, unpacked only when its declared size is in order and equal to its shape's."""
    if info.file_size > largest:
        raise _error("too_large", path, info.filename[:40], f"declares {info.file_size} bytes, more than {largest}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks the others without bounds: 4 KiB of bzip2 become gigabytes at once
        raise _error("compressed", path, info.filename[:40], f"is packed by method {info.compress_type}")
    data = io.BytesIO()
    with archive.open(info) as stream:
        data.write(stream.read(_LARGEST_HEADER))
        data.seek(0)
        version = np.lib.format.read_magic(data)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(data)
        start = data.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != info.file_size - start:
            raise _error("content", path, info.filename[:40], "does not hold what it declares")
        data.seek(0, io.SEEK_END)
        shutil.copyfileobj(stream, data, 1 << 20)
    values: NDArray[Any] = np.frombuffer(data.getbuffer()[start:], dtype)
    return values.reshape(shape, order="F" if fortran else "C")


_REMEDY = {
    "content": "Write it with numpy.savez(file, signal=..., sampling_rate=..., leads=..., unit=...)",
    "too_large": "Cut the recording into parts",
    "compressed": "Write it with numpy.savez or numpy.savez_compressed",
    "length": "Write the file again",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))

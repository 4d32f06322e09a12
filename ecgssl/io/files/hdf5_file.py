"""HDF5 files, opened without trusting them: nothing outside the file is followed, nothing is read before its size is known."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.files.hdf5_samples import Samples
from ecgssl.io.read_errors import parser_errors

if TYPE_CHECKING:
    import h5py

_HEAP = b"GCOL\x01"
_MOST_ATTRIBUTES = 100
_LARGEST_ATTRIBUTE = 4096
_MOST_OBJECTS = 10_000


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading; whatever h5py raises before the end is ``unreadable``."""
    import h5py

    with parser_errors(path, "h5py"), h5py.File(path, "r") as file:
        yield file


def children(path: Path, group: h5py.Group) -> dict[str, Any]:
    """Data sets and groups in a group.

    Raises:
        RecordingError: ``link`` for a soft or external link, ``too_large`` for more than a sane number.
    """
    import h5py

    if len(group) > _MOST_OBJECTS:
        raise _error("too_large", path, "content", f"{len(group)} objects in one group")
    found: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise _error("link", path, f"object {name[:20]!r}", "is a link, which may point outside the file")
        found[name] = group[name]
    return found


def is_numeric(item: Any) -> bool:
    """Whether an object is a data set of real numbers."""
    import h5py

    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.shape is not None


def is_group(item: Any) -> bool:
    """Whether an object holds others."""
    import h5py

    return isinstance(item, h5py.Group)


def only_array(path: Path, top: dict[str, Any]) -> h5py.Dataset:
    """The only array of numbers with two axes, at the top or in groups.

    Raises:
        RecordingError: ``content`` where there is none or several; and as ``children``.
    """
    import h5py

    found: list[h5py.Dataset] = []
    waiting, seen = list(top.values()), set()
    while waiting:
        item = waiting.pop(0)
        # a group may lead back to itself
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS:
            raise _error("too_large", path, "content", f"more than {_MOST_OBJECTS} objects")
        if is_group(item):
            waiting += children(path, item).values()
        elif is_numeric(item) and item.ndim == 2 and item.size > 1:
            found.append(item)
    if len(found) != 1:
        names = ", ".join(item.name[:20] for item in found[:5]) or "none"
        raise _error("content", path, "arrays", f"one with two axes is needed, there are {len(found)} ({names})")
    return found[0]


def check_values(path: Path, items: Iterable[Any], most: int) -> None:
    """Raise ``too_large`` where all arrays of numbers together hold more values."""
    total = sum(item.size for item in items if is_numeric(item))
    if total > most:
        raise _error("too_large", path, "content", f"{total} values, more than {most}")


def read_small(path: Path, dataset: h5py.Dataset, most: int) -> NDArray[Any]:
    """All values of a data set of at most ``most``.

    Raises:
        RecordingError: as ``Samples``, and ``too_large`` for more.
    """
    samples = Samples(path, dataset)
    if dataset.size > most:
        raise _error("too_large", path, f"data set {dataset.name[:20]!r}", f"has {dataset.size} values, not {most}")
    return samples[...]


def attributes(path: Path, item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Attributes that are numbers, texts or lists of these, of sane size; others are left out.

    Raises:
        RecordingError: ``unreadable`` where texts lie in a damaged heap.
    """
    import h5py

    found = {}
    for name in list(item.attrs)[:_MOST_ATTRIBUTES]:
        attribute = h5py.h5a.open(item.id, name.encode())
        kind = attribute.get_type()
        if attribute.get_storage_size() > _LARGEST_ATTRIBUTE:
            continue
        if isinstance(kind, h5py.h5t.TypeStringID):
            if kind.is_variable_str():
                check_heaps(path)
        elif not isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
            continue
        found[name] = item.attrs[name]
    return found


def check_heaps(path: Path) -> None:
    """Walk through the heaps in which texts of any length lie: libhdf5 never returns from one with a part of no size.

    Format: The HDF Group, "HDF5 File Format Specification", version 3, III.E.

    Raises:
        RecordingError: ``unreadable``.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            (size,) = struct.unpack("<Q", data[start + 8 : start + 16].ljust(8, b"\0"))
            position, end = start + 16, start + size
            if end > len(data):
                raise _error("unreadable", path, "heap", "is longer than the file")
            while position + 16 <= end:
                index, _, length = struct.unpack("<H6sQ", data[position : position + 16])
                # the rest that is free counts its own 16 bytes, a text does not, and fills up to eights
                step = length if index == 0 else 16 + -(-length // 8) * 8
                if step < 16 or position + step > end:
                    raise _error("unreadable", path, "heap", "is damaged")
                position += step
            start = data.find(_HEAP, start + 1)


_REMEDY = {
    "link": "Copy what it points to into the file",
    "content": "Keep one array of leads x samples in the file",
    "too_large": "Write the recordings into smaller files",
    "unreadable": "Fetch the file again or leave it out",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))

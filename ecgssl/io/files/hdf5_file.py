"""Untrusted HDF5 files: objects, attributes and arrays, without following links and with size checks before reading."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ecgssl.io.files.array_layout import ONE_ARRAY
from ecgssl.io.files.hdf5_samples import NO_LINK, SMALLER, Samples
from ecgssl.io.read_errors import parser_errors, read_error

if TYPE_CHECKING:
    import h5py

_HEAP = b"GCOL\x01"
_MOST_ATTRIBUTES = 100
_LARGEST_ATTRIBUTE = 4096
_MOST_OBJECTS = 10_000


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; errors of h5py inside the block become ``unreadable``."""
    import h5py

    with parser_errors(path, "h5py"), h5py.File(path, "r") as file:
        yield file


def children(path: Path, group: h5py.Group) -> dict[str, Any]:
    """Return the data sets and groups of a group by name.

    Raises:
        RecordingError: ``link`` for a soft or external link, ``too_large`` for too many objects.
    """
    import h5py

    if len(group) > _MOST_OBJECTS:
        raise read_error("too_large", path, "content", f"{len(group)} objects in one group", SMALLER)
    found: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise read_error("link", path, f"object {name[:20]!r}", "is a link, possibly to another file", NO_LINK)
        found[name] = group[name]
    return found


def is_numeric(item: Any) -> bool:
    """Return whether an object is a data set of real numbers."""
    import h5py

    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.shape is not None


def is_group(item: Any) -> bool:
    """Return whether an object is a group."""
    import h5py

    return isinstance(item, h5py.Group)


def only_array(path: Path, top: dict[str, Any]) -> h5py.Dataset:
    """Return the only two-dimensional array of numbers in a file, at the top level or in groups.

    Raises:
        RecordingError: ``content`` if there is none or more than one; and errors of ``children``.
    """
    import h5py

    found: list[h5py.Dataset] = []
    waiting, seen = list(top.values()), set()
    while waiting:
        item = waiting.pop(0)
        # groups may form a cycle
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS:
            raise read_error("too_large", path, "content", f"more than {_MOST_OBJECTS} objects", SMALLER)
        if is_group(item):
            waiting += children(path, item).values()
        elif is_numeric(item) and item.ndim == 2 and item.size > 1:
            found.append(item)
    if len(found) != 1:
        names = ", ".join(item.name[:20] for item in found[:5]) or "none"
        what = f"one two-dimensional array is required, but there are {len(found)} ({names})"
        raise read_error("content", path, "arrays", what, ONE_ARRAY)
    return found[0]


def check_values(path: Path, items: Iterable[Any], most: int) -> None:
    """Raise ``too_large`` if the arrays of numbers together hold more than ``most`` values."""
    total = sum(item.size for item in items if is_numeric(item))
    if total > most:
        raise read_error("too_large", path, "content", f"{total} values, more than {most}", SMALLER)


def read_small(path: Path, dataset: h5py.Dataset, most: int) -> NDArray[Any]:
    """Return all values of a data set of at most ``most`` values.

    Raises:
        RecordingError: errors of ``Samples``, and ``too_large`` for larger data sets.
    """
    samples = Samples(path, dataset)
    if dataset.size > most:
        what = f"has {dataset.size} values, more than {most}"
        raise read_error("too_large", path, f"data set {dataset.name[:20]!r}", what, SMALLER)
    return samples[...]


def attributes(path: Path, item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Return the attributes that are small numbers, texts or lists of these; others are left out.

    Raises:
        RecordingError: ``unreadable`` if texts are stored in a damaged heap.
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
    """Check the heaps of texts of variable length: libhdf5 does not terminate on an entry of size zero.

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
                raise read_error("unreadable", path, "heap", "is longer than the file")
            while position + 16 <= end:
                index, _, length = struct.unpack("<H6sQ", data[position : position + 16])
                # the size of free space includes its 16 header bytes; the size of a text does not, and it is padded to 8
                step = length if index == 0 else 16 + -(-length // 8) * 8
                if step < 16 or position + step > end:
                    raise read_error("unreadable", path, "heap", "is damaged")
                position += step
            start = data.find(_HEAP, start + 1)

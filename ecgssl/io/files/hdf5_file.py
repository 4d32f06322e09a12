"""Safe access to untrusted HDF5 files: soft and external links are refused, and sizes are checked before data are read."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ecgssl.io.files.array_layout import ONE_ARRAY
from ecgssl.io.files.hdf5_samples import NO_LINK, SMALLER, Samples, dataset_field
from ecgssl.io.read_errors import parser_errors, read_error

if TYPE_CHECKING:
    import h5py

_HEAP = b"GCOL\x01"
_MOST_ATTRIBUTES = 100
_LARGEST_ATTRIBUTE = 4096
_MOST_OBJECTS = 10_000


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading. Convert errors of h5py in the ``with`` block to ``RecordingError``."""
    import h5py

    with parser_errors(path, "h5py"), h5py.File(path, "r") as file:
        yield file


def children(path: Path, group: h5py.Group) -> dict[str, Any]:
    """Return the datasets and groups in an HDF5 group, by name.

    Raises:
        RecordingError: reason ``link`` if an object is a soft or external link, or ``too_large`` if there are too many
            objects.
    """
    import h5py

    if len(group) > _MOST_OBJECTS:
        raise read_error("too_large", path, "content", f"one group has {len(group)} objects", SMALLER)
    found: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise read_error("link", path, "object", "is a link, possibly to another file", NO_LINK)
        found[name] = group[name]
    return found


def is_numeric(item: Any) -> bool:
    """Return whether an HDF5 object is a dataset of real numbers."""
    import h5py

    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.shape is not None


def is_group(item: Any) -> bool:
    """Return whether an HDF5 object is a group."""
    import h5py

    return isinstance(item, h5py.Group)


def only_array(path: Path, top: dict[str, Any]) -> h5py.Dataset:
    """Return the only two-dimensional dataset of numbers of a file, which may be in a group.

    Datasets with a single value are ignored.

    Raises:
        RecordingError: reason ``content`` if there is no such dataset or more than one, ``too_large`` if there are too
            many objects. Errors of ``children`` propagate.
    """
    import h5py

    found: list[h5py.Dataset] = []
    waiting, seen = list(top.values()), set()
    while waiting:
        item = waiting.pop(0)
        # hard links can form a cycle of groups
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS:
            raise read_error("too_large", path, "content", f"the file has more than {_MOST_OBJECTS} objects", SMALLER)
        if is_group(item):
            waiting += children(path, item).values()
        elif is_numeric(item) and item.ndim == 2 and item.size > 1:
            found.append(item)
    if len(found) != 1:
        what = f"one two-dimensional array is required, but there are {len(found)}"
        raise read_error("content", path, "arrays", what, ONE_ARRAY)
    return found[0]


def check_values(path: Path, items: Iterable[Any], most: int) -> None:
    """Raise an error with reason ``too_large`` if the datasets together have more than ``most`` values."""
    total = sum(item.size for item in items if is_numeric(item))
    if total > most:
        raise read_error("too_large", path, "content", f"the file has {total} values, more than {most}", SMALLER)


def read_small(path: Path, dataset: h5py.Dataset, most: int) -> NDArray[Any]:
    """Return all values of a dataset, which may have at most ``most`` values.

    Raises:
        RecordingError: reason ``too_large`` for larger datasets. Errors of ``Samples`` propagate.
    """
    samples = Samples(path, dataset)
    if dataset.size > most:
        what = f"has {dataset.size} values, more than {most}"
        raise read_error("too_large", path, dataset_field(dataset), what, SMALLER)
    return samples[...]


def attributes(path: Path, item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Return the attributes of an object that contain numbers or strings, by name.

    Other types, attributes of more than 4096 bytes, and all attributes after the first 100 are omitted.

    Raises:
        RecordingError: reason ``unreadable`` if strings are stored in a damaged heap.
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
    """Check the global heaps, which store variable-length strings; libhdf5 hangs on heap objects of size zero.

    Format: The HDF Group, "HDF5 File Format Specification", version 3, III.E.

    Raises:
        RecordingError: reason ``unreadable`` if a heap is damaged.
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
                # the size of free space (index 0) includes the header; other objects have a 16-byte header and padding
                step = length if index == 0 else 16 + -(-length // 8) * 8
                if step < 16 or position + step > end:
                    raise read_error("unreadable", path, "heap", "is damaged")
                position += step
            start = data.find(_HEAP, start + 1)

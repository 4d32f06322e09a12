"""HDF5 files, opened without trusting them: nothing outside the file is followed, nothing is read before its size is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.guard import guarded

if TYPE_CHECKING:
    import h5py

LARGEST_CHUNK = 256 << 20
"""Bytes that may have to be unpacked to read one value."""

_LARGEST_ATTRIBUTE = 4096
_MOST_OBJECTS = 10_000


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading; whatever h5py raises before the end is ``unreadable``."""
    import h5py

    with guarded(path, "h5py"), h5py.File(path, "r") as file:
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


def check_dataset(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse samples that lie in another file or in absurd chunks.

    Raises:
        RecordingError: ``link`` or ``too_large``.
    """
    if dataset.external or dataset.is_virtual:
        raise _error("link", path, f"data set {dataset.name[:20]!r}", "lies in another file")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > LARGEST_CHUNK:
        raise _error("too_large", path, f"data set {dataset.name[:20]!r}", f"is packed in chunks of {chunk} bytes")


def read_small(path: Path, dataset: h5py.Dataset, most: int) -> NDArray[Any]:
    """All values of a data set of at most ``most``.

    Raises:
        RecordingError: as ``check_dataset``, and ``too_large`` for more.
    """
    check_dataset(path, dataset)
    if dataset.size > most:
        raise _error("too_large", path, f"data set {dataset.name[:20]!r}", f"has {dataset.size} values, not {most}")
    values: NDArray[Any] = np.asarray(dataset[...])
    return values


def attributes(item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Attributes that are numbers or texts, of sane size."""
    import h5py

    found = {}
    for name in list(item.attrs)[:100]:
        attribute = h5py.h5a.open(item.id, name.encode())
        if attribute.get_storage_size() <= _LARGEST_ATTRIBUTE:
            found[name] = item.attrs[name]
    return found


_REMEDY = {
    "link": "Copy what it points to into the file",
    "content": "Keep one array of leads x samples in the file",
    "too_large": "Write the recordings into smaller files",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))

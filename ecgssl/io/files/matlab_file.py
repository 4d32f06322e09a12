"""Variables of MATLAB files of any version, as arrays, strings and dictionaries."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.io.files.hdf5_file import attributes, check_values, children, is_group, is_numeric, open_hdf5, read_small
from ecgssl.io.files.matlab_5 import LARGEST_MATLAB, parse_matlab_5
from ecgssl.io.read_errors import file_errors, parser_errors
from ecgssl.io.signatures import matlab_version
from ecgssl.io.size_limits import LARGEST, read_limited

_LONGEST_TEXT = 10_000

Variables = dict[str, Any]
"""Variables by name: arrays with MATLAB's axis order, strings, tuples of strings, or dictionaries for structs."""


def read_variables(path: Path) -> Variables:
    """Return the variables of a file that are numbers, strings, lists of strings or structs of these.

    Files of version 4 yield only numbers. In version 7.3, lists of strings and structs within structs are omitted.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable`` or ``too_large``. Errors of ``parse_matlab_5`` (versions
            5 to 7), ``children`` and ``read_small`` (version 7.3, which is HDF5) propagate.
    """
    with file_errors(path), path.open("rb") as stream:
        version = matlab_version(stream.read(128))
    if version == "7.3":
        with open_hdf5(path) as file:
            top = {name: item for name, item in children(path, file).items() if not name.startswith("#")}
            check_values(path, top.values(), LARGEST)
            return {name: value for name, item in top.items() if (value := _convert(path, item)) is not None}
    data = read_limited(path, LARGEST_MATLAB)
    if version == "5":
        return parse_matlab_5(path, data)
    import scipy.io

    with parser_errors(path, "scipy"):
        loaded = scipy.io.loadmat(io.BytesIO(data))
    return {
        name: value for name, value in loaded.items() if isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
    }


def _convert(path: Path, item: Any) -> Any:
    """Return the value of an HDF5 object as in MATLAB (array, string or struct); ``None`` for omitted types."""
    if is_group(item):
        inner = children(path, item)
        check_values(path, inner.values(), LARGEST)
        fields = {name: _convert(path, field) for name, field in inner.items() if not is_group(field)}
        return {name: value for name, value in fields.items() if value is not None}
    found = attributes(path, item) if is_numeric(item) else {}
    if not is_numeric(item) or found.get("MATLAB_empty"):
        return None
    if found.get("MATLAB_class") == b"char":
        return "".join(map(chr, read_small(path, item, _LONGEST_TEXT).reshape(-1).tolist()))
    return read_small(path, item, LARGEST).T

"""Arrays of samples in MATLAB, HDF5 and NumPy files: axis order, metadata entries and selection of a recording."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.metadata import MetadataOverrides, build_recording, check_real, resolve_metadata
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import SPLIT, check_size
from ecgssl.io.text_encoding import decode

RATE_NAMES = ("sampling_rate", "sampling_frequency", "sample_rate", "curr_sample_rate", "samplerate", "fs")
UNIT_NAMES = ("unit", "units")
LEAD_NAMES = ("leads", "lead_names")
"""Accepted names of entries with the sampling rate in Hz, the unit and the lead names; case is ignored."""

MOST_MEMBERS = 10_000_000
"""Largest number of recordings in one array."""

ONE_ARRAY = "Store one array of leads x samples in the file"
"""Suggested fix in errors about files that do not contain exactly one array of samples."""


class StoredArray(Protocol):
    """Array in memory or on disk; samples on disk are read by indexing."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def read_array(
    path: Path,
    array: StoredArray,
    overrides: MetadataOverrides,
    *,
    record_id: str,
    name: str,
    entries: Mapping[str, Any] | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Recording:
    """Return the recording in an array of shape (leads, samples) or (samples, leads).

    The lead axis is the axis whose length equals the number of lead names.

    Args:
        path: file name for messages.
        array: array of samples; its values are read after its shape has been checked.
        overrides: values that replace those of the file.
        record_id: record id.
        name: name of the format.
        entries: other variables, attributes or keys of the file, which may contain sampling rate, unit and lead names.
        unit, leads: default values if ``entries`` does not contain them; ``None`` for no default.
        meta: additional entries of ``Recording.meta``.

    Raises:
        RecordingError: reason ``leads`` (the number of lead names matches no axis or both axes), ``content`` (not
            two-dimensional, or not real numbers), ``no_leads`` (no lead names) or ``too_large``. Errors of
            ``resolve_metadata`` and ``build_recording`` propagate.
    """
    check_real(path, "array", array.dtype)
    if len(array.shape) != 2:
        raise read_error("content", path, "array", f"has {len(array.shape)} axes, not two", ONE_ARRAY)
    entries = entries or {}
    leads = to_texts(_find(entries, LEAD_NAMES)) or leads
    names = overrides.leads if overrides.leads is not None else leads
    fix = "Set one name for each row, in the order of the file (column leads of a manifest: names joined by ;)"
    if names is None:
        what = f"the file has no lead names for its {_join(array.shape)} array"
        raise read_error("no_leads", path, "leads", what, fix)
    axes = [axis for axis in (0, 1) if array.shape[axis] == len(names)]
    if len(axes) != 1:
        what = f"{len(names)} names do not identify the lead axis of a {_join(array.shape)} array"
        raise read_error("leads", path, "leads", what, fix)
    (axis,) = axes
    check_size(path, len(names), array.shape[1 - axis])
    rate, unit = _find_rate(entries), _find_unit(entries) or unit
    resolved = resolve_metadata(path, overrides, len(names), sampling_rate=rate, unit=unit, leads=leads)
    values: NDArray[Any] = np.moveaxis(array[...], axis, 0)
    rows = [values[i] for i in resolved.rows]
    return build_recording(path, resolved, rows, record_id=record_id, name=name, meta=meta)


def _find(entries: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the value of the first of these names that is in ``entries``; ``None`` if there is none."""
    lower = {str(key).lower(): value for key, value in entries.items()}
    return next((lower[name] for name in names if lower.get(name) is not None), None)


def _find_rate(entries: Mapping[str, Any]) -> float | None:
    """Return the sampling rate in Hz from the entries; ``None`` if it is missing or not a single number."""
    value = np.asarray(_find(entries, RATE_NAMES))
    return float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "iuf" else None


def _find_unit(entries: Mapping[str, Any]) -> str | None:
    """Return the unit from the entries; ``None`` if it is missing or not a single string."""
    texts = to_texts(_find(entries, UNIT_NAMES))
    return texts[0] if texts is not None and len(texts) == 1 else None


def to_texts(value: Any) -> tuple[str, ...] | None:
    """Convert a string, bytes, or a list or array of these to a tuple of stripped strings.

    Return ``None`` for other types, empty lists and arrays with invalid characters.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and not _are_code_points(value):
        return None
    flat = np.asarray(value, dtype=object).reshape(-1).tolist() if value is not None else []
    texts = [decode(item) if isinstance(item, bytes) else item for item in flat]
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    # replace unpaired surrogates, which cannot be written to files or terminals, by question marks
    return tuple(text.encode("utf-8", errors="replace").decode().strip() for text in texts)


def _are_code_points(array: NDArray[Any]) -> bool:
    """Return whether an array of strings contains only valid Unicode code points; numpy does not check this."""
    codes = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return bool(codes.max(initial=0) <= sys.maxunicode)


def row_names(path: Path, shape: Sequence[int]) -> tuple[str, ...]:
    """Return the names ``0``, ``1``, ... of the recordings in an array; empty for a single recording.

    Raises:
        RecordingError: reason ``too_large`` for more than ``MOST_MEMBERS`` recordings.
    """
    if len(shape) < 3 or shape[0] == 1:
        return ()
    if shape[0] > MOST_MEMBERS:
        raise read_error("too_large", path, "array", f"contains {shape[0]} recordings, more than {MOST_MEMBERS}", SPLIT)
    return tuple(map(str, range(shape[0])))


def pick_row(path: Path, shape: Sequence[int], member: str | None) -> tuple[int, ...]:
    """Return the index of a recording in an array (recordings, leads, samples) or (recordings, 1, leads, samples).

    The index is empty for an array of two axes, which is a single recording.

    Raises:
        RecordingError: reason ``content`` for other shapes. Reason ``member`` if the selected recording does not exist, if
            none of several is selected, or if a member is selected in an array of two axes.
    """
    if len(shape) == 2:
        refuse_member(path, member)
        return ()
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 1):
        what = f"has shape {_join(shape)}, which is neither one recording nor a list of recordings"
        raise read_error("content", path, "array", what, ONE_ARRAY)
    number = 0 if member is None else int(member) if re.fullmatch(r"[0-9]{1,9}", member) else -1
    if not 0 <= number < shape[0] or (member is None and shape[0] != 1):
        found = "but none is selected" if member is None else "but the selected one does not exist"
        fix = "Select a recording by its row number (from 0), for example file#0"
        raise read_error("member", path, "member", f"the file contains {shape[0]} recordings, {found}", fix)
    return (number,) if len(shape) == 3 else (number, 0)


def _join(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))

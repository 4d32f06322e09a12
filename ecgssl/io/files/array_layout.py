"""Plain arrays of samples, as MATLAB, HDF5 and NumPy files hold them: which axis is which, and what else is said."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size

RATE_NAMES = ("sampling_rate", "sampling_frequency", "sample_rate", "curr_sample_rate", "samplerate", "fs")
UNIT_NAMES = ("unit", "units")
LEAD_NAMES = ("leads", "lead_names")
"""What variables, attributes and keys are called that say the rate in Hz, the unit and the leads; in any case."""

MOST_MEMBERS = 10_000_000
"""Recordings in one array."""


class Stored(Protocol):
    """An array whose samples may still lie on disk."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def said(entries: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The entry that has one of these names, or ``None``."""
    lower = {str(key).lower(): value for key, value in entries.items()}
    return next((lower[name] for name in names if lower.get(name) is not None), None)


def said_rate(entries: Mapping[str, Any]) -> float | None:
    """Hz; ``None`` where no entry of ``RATE_NAMES`` is a single number."""
    value = np.asarray(said(entries, RATE_NAMES))
    return float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "iuf" else None


def said_unit(entries: Mapping[str, Any]) -> str | None:
    """The unit's name; ``None`` where no entry of ``UNIT_NAMES`` is a single text."""
    texts = said_texts(said(entries, UNIT_NAMES))
    return texts[0] if texts is not None and len(texts) == 1 else None


def said_leads(entries: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the rows; ``None`` where no entry of ``LEAD_NAMES`` is a list of texts."""
    return said_texts(said(entries, LEAD_NAMES))


def said_texts(value: Any) -> tuple[str, ...] | None:
    """Texts of a text, or of a list or array of texts in whatever encoding; ``None`` for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and not _are_letters(value):
        return None
    flat = np.asarray(value, dtype=object).reshape(-1).tolist() if value is not None else []
    texts = [item.decode("utf-8", errors="replace") if isinstance(item, bytes) else item for item in flat]
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    # halves of letters, which no file or terminal takes, become question marks
    return tuple(text.encode("utf-8", errors="replace").decode().strip() for text in texts)


def _are_letters(array: NDArray[Any]) -> bool:
    """Whether an array of texts holds code points only: numpy makes broken texts of anything else, without a word."""
    codes = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return bool(codes.max(initial=0) <= sys.maxunicode)


def read_array(
    path: Path,
    array: Stored,
    overrides: MetadataOverrides,
    *,
    record_id: str,
    name: str,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Recording:
    """A recording of a two-dimensional array, (leads, samples) or (samples, leads): the number of leads decides.

    Args:
        path: names the file in messages.
        array: read only once its shape is known to be in order.
        overrides: wins over what the file says.
        record_id: of the recording.
        name: of the format.
        sampling_rate, unit, leads: as the file says them, or ``None``.
        meta: further entries of ``Recording.meta``.

    Raises:
        RecordingError: ``leads`` (neither axis, or both, are as long as there are names), ``content`` (no two axes, no
            real numbers), ``too_large``; and as ``resolve_metadata`` and ``build_recording``.
    """
    check_real(path, array.dtype)
    if len(array.shape) != 2:
        raise _error("content", path, "array", f"has {len(array.shape)} axes, not two")
    names = overrides.leads if overrides.leads is not None else leads
    if names is None:
        raise _error("no_leads", path, "leads", f"the file does not name the rows of its {_text(array.shape)} array")
    axes = [axis for axis in (0, 1) if array.shape[axis] == len(names)]
    if len(axes) != 1:
        what = f"{len(names)} names leave it open which axis of a {_text(array.shape)} array they belong to"
        raise _error("leads", path, "leads", what)
    (axis,) = axes
    check_size(path, len(names), array.shape[1 - axis])
    resolved = resolve_metadata(path, overrides, len(names), sampling_rate=sampling_rate, unit=unit, leads=leads)
    values: NDArray[Any] = np.moveaxis(array[...], axis, 0)
    rows = [values[i] for i in resolved.rows]
    return build_recording(path, resolved, rows, record_id=record_id, name=name, meta=meta)


def check_real(path: Path, dtype: Any) -> None:
    """Raise ``content`` for everything but integers and floating-point numbers."""
    if dtype.kind not in "iuf":
        raise _error("content", path, "array", f"holds no real numbers (type {str(dtype)[:40]})")


def row_names(path: Path, shape: Sequence[int]) -> tuple[str, ...]:
    """Members of an array of recordings, its first axis: their row numbers from 0; none for a single recording."""
    if len(shape) < 3 or shape[0] == 1:
        return ()
    if shape[0] > MOST_MEMBERS:
        raise _error("too_large", path, "array", f"holds {shape[0]} recordings, more than {MOST_MEMBERS}")
    return tuple(map(str, range(shape[0])))


def pick_row(path: Path, shape: Sequence[int], member: str | None) -> tuple[int, ...]:
    """Index of one recording in an array of two to four axes: recordings, one axis of length 1, leads and samples.

    Raises:
        RecordingError: ``content`` for another shape, ``member`` for one that is not there or not named.
    """
    if len(shape) == 2:
        refuse_member(path, member)
        return ()
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 1):
        raise _error("content", path, "array", f"of {_text(shape)} is no recording and no list of them")
    if member is None and shape[0] != 1:
        raise _error("member", path, "member", f"the file holds {shape[0]} recordings, none is named")
    number = 0 if member is None else int(member) if re.fullmatch(r"[0-9]{1,9}", member) else -1
    if not 0 <= number < shape[0]:
        raise _error("member", path, f"member {(member or '0')[:20]!r}", f"the file holds {shape[0]} recordings")
    return (number,) if len(shape) == 3 else (number, 0)


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


_REMEDY = {
    "content": "Store one recording as integers or floating-point numbers, leads x samples",
    "no_leads": "Name the rows in their order (column leads of a manifest: names joined by ;)",
    "leads": "State one name for each row of the file, in its order (column leads of a manifest)",
    "member": "Name one by its row number from 0, as file#0",
    "too_large": "Cut the file into parts",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))

"""Inputs of ``Predictor``, ``Embedder`` and ``RecordingDataset``: paths, recordings, arrays, and lists of these."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.recording import Recording
from ecgssl.io.recording_checks import array_problem
from ecgssl.preprocessing.inputs import Listed, list_recordings

Source = Path | Recording | ArrayLike | Sequence[Path | Recording | ArrayLike]
"""A recording or several; see ``list_sources``."""

_HOW = "Use the path of a file or folder, a Recording, an array (leads, samples), or a list of these"


@dataclass(frozen=True)
class Sources:
    """Recordings of an input.

    Args:
        items: files to read and recordings in memory. Their ids are unique.
        single: whether the input is one recording, not a list, folder, pattern or table.
    """

    items: tuple[Listed | Recording, ...]
    single: bool


def list_sources(source: Source, sampling_rate: float | None = None, leads: Sequence[str] | None = None) -> Sources:
    """Return the recordings of an input. Files are listed, not read.

    Args:
        source: one of

            - path of a file, folder, glob pattern or table, see ``ecgssl.preprocessing.inputs.list_recordings``,
            - ``Recording``,
            - array (leads, samples) in mV, or (recordings, leads, samples),
            - list, tuple, Series or one-dimensional array of these.
        sampling_rate: sampling rate in Hz. Arrays need it; files and recordings have their own.
        leads: lead name of each row. Arrays need it; files and recordings have their own.

    Raises:
        InputError: the input is empty or of another type, such as a dictionary or a DataFrame, an array is masked or does not
            contain real numbers, ``sampling_rate`` or ``leads`` is missing for an array or given without one, or
            ``list_recordings`` cannot list the files.
        RecordingError: an array, its sampling rate or its lead names are invalid, see ``ecgssl.Recording``.
    """
    found = _Listing(sampling_rate, leads)
    single = found.add(source)
    if not found.items:
        raise InputError(Problem("input", "recordings", "there are none", _HOW))
    if not found.arrays and (sampling_rate is not None or leads is not None):
        what = "are given, but the input contains no array"
        raise InputError(Problem("input", "sampling_rate, leads", what, "Remove them: files state their own"))
    return Sources(_distinct(found.items), single)


class _Listing:
    def __init__(self, sampling_rate: Any, leads: Any) -> None:
        # Recording checks the types
        self.sampling_rate, self.leads = sampling_rate, leads
        self.items: list[Listed | Recording] = []
        self.arrays = 0

    def add(self, source: Any) -> bool:
        """Append the recordings of an input, and return whether it is a single recording."""
        if isinstance(source, Recording):
            self.items.append(source)
            return True
        if isinstance(source, str | os.PathLike):
            path = str(source)
            listed = list_recordings([path]).items
            self.items += listed
            return len(listed) == 1 and listed[0].path == str(as_on_disk(Path(path)))
        if isinstance(source, np.ndarray) and (source.ndim != 1 or source.dtype.kind not in "OU"):
            return self._add_array(source)
        _require_sequence(source)
        try:
            parts = list(source)
        except TypeError:
            what = f"is of type {type(source).__name__}, which is no recording"
            raise InputError(Problem("input", "type", what, _HOW)) from None
        if parts and _is_row(parts[0]):
            # a nested list of numbers, one list per lead
            return self._add_array(_stack(parts))
        if parts and all(isinstance(part, str | os.PathLike) for part in parts):
            # list all files together, so that files of equal name get distinct ids
            self.items += list_recordings([str(part) for part in parts]).items
            return False
        for part in parts:
            if isinstance(part, int | float):
                raise InputError(Problem("input", "type", "is a list of numbers, which is no recording", _HOW))
            self.add(part)
        return False

    def _add_array(self, array: np.ndarray[Any, Any]) -> bool:
        missing = [name for name in ("sampling_rate", "leads") if getattr(self, name) is None]
        if missing:
            remedy = "Set sampling_rate in Hz, and leads to the name of each row, such as ecgssl.LEADS"
            raise InputError(Problem("input", ", ".join(missing), "is missing for an array", remedy))
        if problem := array_problem(array):
            raise InputError(problem)
        if array.ndim not in (2, 3):
            what = f"has {array.ndim} dimensions"
            raise InputError(Problem("input", "array", what, "Use (leads, samples) or (recordings, leads, samples)"))
        for signal in array if array.ndim == 3 else array[None]:
            # values beyond the range of float32 become infinite, which is treated as missing
            with np.errstate(over="ignore"):
                values = signal.astype(np.float32)
            self.items.append(Recording(values, self.sampling_rate, self.leads, f"array {self.arrays}"))
            self.arrays += 1
        return array.ndim == 2


def _require_sequence(source: Any) -> None:
    """Raise an error for types that Python can iterate over, but whose items are no recordings."""
    name = type(source).__name__
    if isinstance(source, bytes | bytearray | memoryview):
        remedy = "Use a text for a path, or numpy.frombuffer and the shape (leads, samples) for a signal"
        raise InputError(Problem("input", "type", f"is of type {name}, which is no recording", remedy))
    if isinstance(source, Mapping):
        remedy = "Use a list of its values, such as list(input.values())"
        raise InputError(Problem("input", "type", f"is of type {name}, whose items would be its keys", remedy))
    if hasattr(source, "columns"):
        what = f"is of type {name}, whose items would be the names of its columns"
        remedy = "Use the column of the paths, such as table['path'], or, for one column per lead, table.to_numpy().T"
        raise InputError(Problem("input", "type", what, remedy))


def _is_row(part: Any) -> bool:
    if isinstance(part, str | os.PathLike | Recording):
        return False
    try:
        return np.ndim(part) == 1
    except ValueError:
        return False  # nested lists of different lengths


def _stack(parts: list[Any]) -> NDArray[Any]:
    """Return the rows of a nested list as an array; ``None`` becomes NaN."""
    rows = []
    for part in parts:
        try:
            row = part if isinstance(part, np.ma.MaskedArray) else np.asarray(part)
        except (TypeError, ValueError, RuntimeError):
            what, remedy = "has a row that cannot be converted to an array", "Use one list of numbers for each lead"
            raise InputError(Problem("recording", "signal", what, remedy)) from None
        if row.dtype == object and all(value is None or isinstance(value, Real) for value in row.flat):
            row = row.astype(np.float64)
        if problem := array_problem(row):
            raise InputError(problem)
        rows.append(row)
    if len({row.shape for row in rows}) > 1:
        what, remedy = "has rows of different lengths", "Use the same number of samples for each lead"
        raise InputError(Problem("recording", "signal", what, remedy))
    return np.array(rows)


def _distinct(items: list[Listed | Recording]) -> tuple[Listed | Recording, ...]:
    taken: set[str] = set()
    out = []
    for item in items:
        name, number = item.record_id, 1
        while name in taken:
            number += 1
            name = f"{item.record_id}#{number}"
        taken.add(name)
        out.append(item if name == item.record_id else replace(item, record_id=name))
    return tuple(out)

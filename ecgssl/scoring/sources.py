"""Inputs of ``Predictor``, ``Embedder`` and ``RecordingDataset``: paths, recordings, arrays, and lists of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.errors import InputError, Problem
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import Listed, list_recordings
from ecgssl.scoring.in_memory import memory_recording

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
        InputError: the input is empty or of another type, ``sampling_rate`` or ``leads`` is missing for an array or given
            without one, or ``list_recordings`` cannot list the files.
        RecordingError, ValueError: an array is invalid, see ``ecgssl.scoring.in_memory.memory_recording``.
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
    def __init__(self, sampling_rate: float | None, leads: Sequence[str] | None) -> None:
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
        if isinstance(source, np.ndarray) and source.dtype.kind in "biuf":
            return self._add_array(source)
        try:
            parts = list(source)
        except TypeError:
            what = f"is of type {type(source).__name__}, which is no recording"
            raise InputError(Problem("input", "type", what, _HOW)) from None
        if parts and np.ndim(parts[0]) == 1 and not isinstance(parts[0], str | os.PathLike | Recording):
            # a nested list of numbers, one list per lead
            return self._add_array(np.array([np.asarray(part, dtype=np.float32) for part in parts]))
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
        if array.ndim not in (2, 3):
            what = f"has {array.ndim} dimensions"
            raise InputError(Problem("input", "array", what, "Use (leads, samples) or (recordings, leads, samples)"))
        assert self.sampling_rate is not None
        assert self.leads is not None
        for signal in array if array.ndim == 3 else array[None]:
            recording = memory_recording(signal.astype(np.float32), float(self.sampling_rate), self.leads)
            self.items.append(replace(recording, record_id=f"array {self.arrays}"))
            self.arrays += 1
        return array.ndim == 2


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

"""Readers for ECG files. ``read`` detects the format from the content of a file and returns a ``Recording``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.formats import identify
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording

MEMBER = "#"
"""Separator between a file path and the name of one recording in the file: ``exams_part3.hdf5#1169160``."""


def locate(path: Path | str) -> tuple[Path, str | None]:
    """Split a path ``file#member`` into the path of the file and the name of a recording in it.

    The name is ``None`` if the path contains no ``#``, or if a file with the whole path exists.
    File names in another Unicode normalisation than on disk are found (``ecgssl.io.file_names``).
    """
    text = str(path)
    try:
        whole = as_on_disk(Path(text))
        if MEMBER not in text or whole.exists():
            return whole, None
    except OSError:
        pass  # the path including the member can be too long for the file system
    file, _, member = text.rpartition(MEMBER)
    return as_on_disk(Path(file)), member


def read(
    path: Path | str,
    *,
    overrides: MetadataOverrides = NO_OVERRIDES,
    record_id: str | None = None,
    patient_id: str | None = None,
) -> Recording:
    """Read one recording in any supported format, which is detected from the content of the file.

    Args:
        path: path of the file, or ``file#member`` for a file with several recordings. The path of a WFDB record may
            have the suffix of the header, the suffix of the signal file, or none.
        overrides: metadata that are missing or wrong in the file.
        record_id: record id; by default the reader derives it from the file name without suffix, the member, or both.
        patient_id: patient id, the same for all recordings of a patient.

    Raises:
        InputError: ``path`` is neither a text nor a path.
        RecordingError: reason ``missing_file``, ``unreadable`` or ``format`` (not supported). Errors of the format's
            reader propagate.

    Example:
        >>> import ecgssl
        >>> ecgssl.read("ecg.hea")
        <Recording ecg: 12 leads, 250 Hz, 10 s>
    """
    if not isinstance(path, str | os.PathLike):
        what = f"is of type {type(path).__name__}, not the path of a file"
        raise InputError(Problem("ecgssl.read", "path", what, "Use a text or a pathlib.Path"))
    file, member = locate(path)
    if not file.name:
        what = "is empty" if not str(path) else "is a folder"
        raise RecordingError("unreadable", Problem(str(path) or "path", "file", what, "Use the path of a file"))
    recording = identify(file).read(file, member, overrides)
    if record_id is None and patient_id == recording.patient_id:
        return recording
    return replace(recording, record_id=recording.record_id if record_id is None else record_id, patient_id=patient_id)

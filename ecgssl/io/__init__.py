"""Files in: one reader per format, each giving a ``Recording``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecgssl.io.formats import identify
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording

MEMBER = "#"
"""Separates a file that holds many recordings from the name of one of them: ``exams_part3.hdf5#1169160``."""


def locate(path: Path | str) -> tuple[Path, str | None]:
    """File and member of ``file#member``; the member is ``None`` where none is named."""
    text = str(path)
    try:
        if MEMBER not in text or Path(text).exists():
            return Path(text), None
    except OSError:
        pass  # a name that is too long only together with the member
    file, _, member = text.rpartition(MEMBER)
    return Path(file), member


def read(
    path: Path | str,
    *,
    overrides: MetadataOverrides = NO_OVERRIDES,
    record_id: str | None = None,
    patient_id: str | None = None,
) -> Recording:
    """Read one recording, whatever its format; the format is found by content.

    Args:
        path: the file; ``file#member`` for one recording of a file that holds many; a WFDB record with or without the
            suffix of its header or signal file.
        overrides: what the file does not say, or says wrongly.
        record_id: by default the name of the file, or of the member.
        patient_id: groups recordings of one person.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, or ``format`` for a file that no reader knows; otherwise see
            the reader.
    """
    file, member = locate(path)
    recording = identify(file).read(file, member, overrides)
    return replace(recording, record_id=recording.record_id if record_id is None else record_id, patient_id=patient_id)

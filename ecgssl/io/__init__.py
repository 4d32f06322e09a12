"""Readers for ECG files; each returns a ``Recording``. The format is detected from the content of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecgssl.io.formats import identify
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording

MEMBER = "#"
"""Separator between a file with many recordings and the name of one of them: ``exams_part3.hdf5#1169160``."""


def locate(path: Path | str) -> tuple[Path, str | None]:
    """Split ``file#member`` into file and member; the member is ``None`` if none is named."""
    text = str(path)
    try:
        if MEMBER not in text or Path(text).exists():
            return Path(text), None
    except OSError:
        pass  # the name may be too long only because of the member
    file, _, member = text.rpartition(MEMBER)
    return Path(file), member


def read(
    path: Path | str,
    *,
    overrides: MetadataOverrides = NO_OVERRIDES,
    record_id: str | None = None,
    patient_id: str | None = None,
) -> Recording:
    """Read one recording in any supported format, which is detected from the content of the file.

    Args:
        path: the file; ``file#member`` for one recording of a file with many; a WFDB record with or without the suffix
            of its header or signal file.
        overrides: metadata that the file lacks or has wrong.
        record_id: by default the name of the file or of the member.
        patient_id: the same for all recordings of a patient.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, ``format`` (not supported); and as the reader of the format.
    """
    file, member = locate(path)
    recording = identify(file).read(file, member, overrides)
    return replace(recording, record_id=recording.record_id if record_id is None else record_id, patient_id=patient_id)

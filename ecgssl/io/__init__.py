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
    """Return file and member of a path ``file#member``; the member is ``None`` if the path has none."""
    text = str(path)
    try:
        if MEMBER not in text or Path(text).exists():
            return Path(text), None
    except OSError:
        pass  # the name may be too long because of the member
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
        path: path of the file, or ``file#member`` for a file with several recordings. A WFDB record may have the suffix of
            its header or signal file, or none.
        overrides: metadata that are missing or wrong in the file.
        record_id: record id; by default the name of the file or member.
        patient_id: patient id, the same for all recordings of a patient.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, ``format`` (not supported), and the errors of the format's reader.
    """
    file, member = locate(path)
    recording = identify(file).read(file, member, overrides)
    return replace(recording, record_id=recording.record_id if record_id is None else record_id, patient_id=patient_id)

"""Files in: one reader per format, each giving a ``Recording``."""

from __future__ import annotations

from pathlib import Path

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.recording import Recording
from ecgssl.io.wfdb_reader import header_path, read_wfdb


def read(path: Path | str, *, record_id: str | None = None, patient_id: str | None = None) -> Recording:
    """Read one recording, whatever its format (WFDB).

    Args:
        path: a WFDB record with or without ``.hea``, ``.dat`` or ``.mat``.
        record_id: by default the name of the file.
        patient_id: groups recordings of one person.

    Raises:
        RecordingError: ``format`` for a file that no reader knows; otherwise see the reader.
    """
    path = Path(path)
    # a .mat without a header may be any MATLAB file; a .dat or .hea means WFDB, and read_wfdb names what is missing
    if path.suffix.lower() not in (".hea", ".dat") and path.is_file() and not header_path(path).exists():
        raise RecordingError(
            "format",
            Problem(str(path), "format", "is not a WFDB record: it has no header beside it", "Convert it to WFDB"),
        )
    return read_wfdb(path, record_id=record_id, patient_id=patient_id)

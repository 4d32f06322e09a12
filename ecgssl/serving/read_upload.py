"""Reading and preprocessing of uploaded recordings in reader processes. This module does not import torch."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.errors import RecordingError
from ecgssl.io import MEMBER
from ecgssl.io.listing import find_recordings
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.scoring.preprocess import PreparedRecording, Windows, prepare_recording
from ecgssl.signal.leads import LEADS, arrange
from ecgssl.signal.spec import SignalSpec

SHOWN = 10.0
"""Duration of the drawn part of a recording in s."""

_UNSAFE = re.compile(r"[^\w.+-]")


@dataclass(frozen=True)
class Upload:
    """Uploaded files of one recording.

    Args:
        files: name and content of each file. Formats such as WFDB use several files per recording.
        member: name of the recording in a file with several recordings.
        overrides: metadata that replace missing or wrong metadata in the file.
    """

    files: tuple[tuple[str, bytes], ...]
    member: str | None = None
    overrides: MetadataOverrides = NO_OVERRIDES


@dataclass(frozen=True)
class ReadJob:
    """One recording to read and preprocess.

    Args:
        source: uploaded files, or a recording in memory.
        windows: policy for recordings that are longer than one window.
        show: whether to also return the raw signal for a drawing.
    """

    source: Upload | Recording
    windows: Windows
    show: bool = False


@dataclass(frozen=True)
class ReadResult:
    """A preprocessed recording.

    Args:
        prepared: result of preprocessing.
        sampling_rate: sampling rate of the raw recording in Hz.
        duration: duration of the raw recording in s.
        raw: (12, samples) unfiltered signal of the first 10 s in mV, with leads in the order of ``LEADS``; ``None`` if
            ``ReadJob.show`` is false.
        raw_mask: (12,) bool, true for leads that the recording contains; ``None`` if ``ReadJob.show`` is false.
    """

    prepared: PreparedRecording
    sampling_rate: float
    duration: float
    raw: NDArray[np.float32] | None = None
    raw_mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class RejectedUpload:
    """A recording that cannot be scored.

    Args:
        reasons: reason codes, separated by ";".
        detail: explanation, without file or patient names.
    """

    reasons: str
    detail: str


def read_job(
    job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float
) -> ReadResult | RejectedUpload:
    """Return the preprocessed recording, or the reasons for rejecting it.

    Uploaded files are written to ``folder`` and removed after reading.
    """
    try:
        return _read(job, folder, spec, quality, lsb)
    except Rejected as error:
        return RejectedUpload(error.reason, error.detail)


def _read(job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> ReadResult:
    recording = job.source if isinstance(job.source, Recording) else _read_files(job.source, folder)
    prepared = prepare_recording(recording, spec, quality, lsb, job.windows)
    shown: dict[str, Any] = {}
    if job.show:
        first = recording.signal[:, : round(SHOWN * recording.sampling_rate) + 1]
        shown["raw"], shown["raw_mask"] = arrange(first, recording.leads, LEADS)
    return ReadResult(prepared, recording.sampling_rate, recording.duration, **shown)


def _read_files(upload: Upload, folder: Path) -> Recording:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for name, content in upload.files:
            path = Path(temporary, safe_name(name))
            if path.exists():
                raise Rejected("read", "content", "files: two files have the same name")
            path.write_bytes(content)
        found = find_recordings(temporary).recordings
        if upload.member is not None:
            found = tuple(path for path in found if path.rpartition(MEMBER)[2] == upload.member and MEMBER in path)
        if not found:
            code, what = (
                ("format", "has no known format" + _missing_header(upload))
                if upload.member is None
                else ("member", "does not contain this member")
            )
            raise Rejected("read", code, f"file: {what}")
        if len(found) > 1:
            raise Rejected("read", "member", f"file: contains {len(found)} recordings; set member to one of them")
        try:
            return read_or_reject(found[0], upload.overrides)
        except Rejected as error:
            cause = error.__cause__
            if error.reason == "missing_file" and isinstance(cause, RecordingError):
                # name the file to add; its name follows from the names of the uploaded files
                raise Rejected("read", error.reason, f"{error.detail}. {cause.problems[0].remedy}") from cause
            raise


def _missing_header(upload: Upload) -> str:
    """Return a hint for WFDB signal files without a header; otherwise an empty string."""
    names = [safe_name(name) for name, _ in upload.files]
    alone = [name for name in names if name.lower().endswith(".dat")]
    if not alone or any(name.lower().endswith(".hea") for name in names):
        return ""
    return f"; if it is a WFDB signal file, add its header {alone[0][:-4]}.hea"


def safe_name(name: str) -> str:
    """Return a safe file name: folders and leading dots are removed, special characters become underscores."""
    last = re.split(r"[/\\]", name)[-1]
    return _UNSAFE.sub("_", last).lstrip(".")[-100:] or "file"

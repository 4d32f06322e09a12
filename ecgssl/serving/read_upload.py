"""What was sent, as a recording brought under the contract. Free of torch: this runs in the reading processes."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.io import MEMBER
from ecgssl.io.listing import find_recordings
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.scoring.preprocess import PreparedRecording, Windows, prepare_recording
from ecgssl.signal.leads import LEADS, arrange
from ecgssl.signal.spec import SignalSpec

SHOWN = 10.0
"""Seconds of a recording that are drawn."""

_UNSAFE = re.compile(r"[^\w.+-]")


@dataclass(frozen=True)
class Upload:
    """Files as they were sent.

    Args:
        files: names and contents; more than one for formats of several files, such as WFDB.
        member: name of the recording meant, in a file that holds many.
        overrides: what the file does not say.
    """

    files: tuple[tuple[str, bytes], ...]
    member: str | None = None
    overrides: MetadataOverrides = NO_OVERRIDES


@dataclass(frozen=True)
class ReadJob:
    """One recording to read and prepare.

    Args:
        what: files, or a recording in memory.
        windows: policy for a long recording.
        show: also return the raw signal for drawing.
    """

    what: Upload | Recording
    windows: Windows
    show: bool = False


@dataclass(frozen=True)
class ReadResult:
    """A recording that can be scored.

    Args:
        ready: under the contract.
        sampling_rate: Hz, of the recording itself.
        duration: s, of the recording itself.
        raw: (12, samples) its first ten seconds in mV, as recorded, in the order of ``LEADS``; ``None`` unless asked for.
        raw_mask: (12,) leads that are in it.
    """

    ready: PreparedRecording
    sampling_rate: float
    duration: float
    raw: NDArray[np.float32] | None = None
    raw_mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class RejectedUpload:
    """A recording that cannot be scored.

    Args:
        reasons: ";"-joined codes.
        detail: for people; free of names.
    """

    reasons: str
    detail: str


def read_job(
    job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float
) -> ReadResult | RejectedUpload:
    """Read and prepare; files lie below ``folder`` while they are read, and never longer."""
    try:
        return _read(job, folder, spec, quality, lsb)
    except Rejected as refusal:
        return RejectedUpload(refusal.reason, refusal.detail)


def _read(job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> ReadResult:
    recording = job.what if isinstance(job.what, Recording) else _of_files(job.what, folder)
    ready = prepare_recording(recording, spec, quality, lsb, job.windows)
    shown: dict[str, Any] = {}
    if job.show:
        first = recording.signal[:, : round(SHOWN * recording.sampling_rate) + 1]
        shown["raw"], shown["raw_mask"] = arrange(first, recording.leads, LEADS)
    return ReadResult(ready, recording.sampling_rate, recording.duration, **shown)


def _of_files(upload: Upload, folder: Path) -> Recording:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for name, content in upload.files:
            path = Path(place, safe_name(name))
            if path.exists():
                raise Rejected("read", "content", "files: two have the same name")
            path.write_bytes(content)
        found = find_recordings(place).recordings
        if upload.member is not None:
            found = tuple(path for path in found if path.rpartition(MEMBER)[2] == upload.member and MEMBER in path)
        if not found:
            code, what = ("format", "no reader knows it") if upload.member is None else ("member", "it is not there")
            raise Rejected("read", code, f"file: {what}")
        if len(found) > 1:
            raise Rejected("read", "member", f"file: holds {len(found)} recordings, and one has to be named")
        return read_or_reject(found[0], upload.overrides)


def safe_name(name: str) -> str:
    """A file's name without any folder, hidden name or character that a file system could take for something else."""
    last = re.split(r"[/\\]", name)[-1]
    return _UNSAFE.sub("_", last).lstrip(".")[-100:] or "file"

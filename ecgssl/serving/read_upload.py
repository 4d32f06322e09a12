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
from ecgssl.errors import Problem, RecordingError
from ecgssl.io import MEMBER
from ecgssl.io.listing import find_recordings
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.scoring.preprocess import PreparedRecording, Windows, count_windows, prepare_recording
from ecgssl.serving.request_body import SentBody, Upload, is_json, parse_body
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.signal.leads import LEADS, arrange
from ecgssl.signal.spec import SignalSpec

SHOWN = 10.0
"""Duration of the drawn part of a recording in s."""

_UNSAFE = re.compile(r"[^\w.+-]")


@dataclass(frozen=True)
class ReadJob:
    """One recording to read and preprocess.

    Args:
        source: body of a request, uploaded files, or a recording in memory.
        windows: policy for recordings that are longer than one window.
        show: whether to also return the raw signal for a drawing.
    """

    source: SentBody | Upload | Recording
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


def read_job(
    job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float, limits: RequestLimits
) -> ReadResult:
    """Read and preprocess one recording.

    Uploaded files are written to ``folder`` and removed after reading.

    Raises:
        RequestError: the body does not match its schema, or the recording is rejected or exceeds a limit.
    """
    try:
        return _read(job, folder, spec, quality, lsb, limits)
    except Rejected as error:
        # rejections by quality checks have no field, so use the processing stage
        field = error.field or error.stage
        what = error.detail.removeprefix(f"{error.field}: ") if error.field else error.detail
        sent = job.source
        in_file = isinstance(sent, Upload) or (isinstance(sent, SentBody) and not is_json(sent))
        remedy = f"{'Fix the file' if in_file else 'Correct the signal'}, or use another recording"
        problem = Problem("recording", field, what, remedy)
        raise RequestError(422, problem, tuple(error.reason.split(";"))) from None
    except MemoryError:
        what = f"needs more than {limits.memory >> 20} MiB of memory"
        raise RequestError(422, Problem("recording", "memory", what, "Shorten it, or use 'ecgssl predict'")) from None


def _read(
    job: ReadJob, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float, limits: RequestLimits
) -> ReadResult:
    source = parse_body(job.source, limits) if isinstance(job.source, SentBody) else job.source
    recording = source if isinstance(source, Recording) else _read_files(source, folder)
    count = count_windows(recording, spec) if job.windows != "contract" else 1
    if count > limits.windows:
        what = f"has {count} windows; the limit is {limits.windows}"
        raise RequestError(422, Problem("recording", "windows", what, "Use windows=contract, or 'ecgssl predict'"))
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
                raise Rejected("read", "content", "files: two files have the same name", field="files")
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
            raise Rejected("read", code, f"file: {what}", field="file")
        if len(found) > 1:
            what = f"file: contains {len(found)} recordings; set member to one of them"
            raise Rejected("read", "member", what, field="file")
        try:
            return read_or_reject(found[0], upload.overrides)
        except Rejected as error:
            cause = error.__cause__
            if error.reason == "missing_file" and isinstance(cause, RecordingError):
                # add the remedy, which names the missing file
                detail = f"{error.detail}. {cause.problems[0].remedy}"
                raise Rejected("read", error.reason, detail, field=error.field) from cause
            raise


def _missing_header(upload: Upload) -> str:
    """Return a hint for WFDB signal files without a header; otherwise an empty string."""
    names = [safe_name(name) for name, _ in upload.files]
    alone = [name for name in names if name.lower().endswith(".dat")]
    if not alone or any(name.lower().endswith(".hea") for name in names):
        return ""
    return f"; if it is a WFDB signal file, add its header {alone[0][:-4]}.hea"


def safe_name(name: str) -> str:
    """Return a safe file name: folders and leading dots are removed, special characters become underscores.

    The end of the name is kept, at most 100 bytes in UTF-8. If nothing is left, the name is ``file``.
    """
    last = re.split(r"[/\\]", name)[-1]
    return _UNSAFE.sub("_", last).encode(errors="replace")[-100:].decode(errors="ignore").lstrip(".") or "file"

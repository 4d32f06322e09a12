"""Preprocessing of recordings for scoring. The result has a table row for each recording, including rejected ones.

This module does not import torch, so that worker processes start quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import Listed
from ecgssl.preprocessing.prepare import Rejected, prepare, read_or_reject
from ecgssl.signal.spec import SignalSpec

Windows = Literal["contract", "mean", "max"]
"""Window policy for recordings longer than the duration in the preprocessing settings.

``contract`` scores only the window that preprocessing keeps in training, at the start or in the middle of the
recording. ``mean`` and ``max`` split the recording into adjacent complete windows and preprocess each like a separate
recording. The result is the mean or the maximum of the model outputs over the windows that are not rejected. Recordings
with fewer than two complete windows are scored as with ``contract``.
"""
POLICIES: tuple[Windows, ...] = get_args(Windows)

COLUMNS = {
    "record_id": str,
    "status": str,
    "reasons": str,
    "detail": str,
    "flags": str,
    "sampling_rate": float,
    "duration": float,
    "recorded_seconds": float,
    "leads": str,
    "heart_rate": float,
    "windows": int,
    "windows_rejected": int,
}
"""Names and types of the columns that describe a recording.

``status`` is ok or rejected. Rejected recordings have ``reasons`` (codes joined by ";") and ``detail``. Scored
recordings have ``flags`` (codes of quality findings), ``leads`` (those passed to the model), ``heart_rate`` in beats
per minute (median over the windows), ``windows`` (number of scored windows), ``windows_rejected`` and
``recorded_seconds`` (recorded part of a window in s, less than the duration in the preprocessing settings for a short
recording). ``sampling_rate`` in Hz and ``duration`` in s describe the file; they are empty if it cannot be read.
"""


@dataclass(frozen=True)
class PreparedRecording:
    """One recording after preprocessing.

    Args:
        digital: (windows, L, T) int16 in steps of ``lsb``; rows of absent leads, and samples that were not recorded, are 0.
        lead_mask: (windows, L) bool, true for present leads.
        recorded: (windows,) int64, number of recorded samples from the start of the window.
        row: values by name of the column in ``COLUMNS``. Columns without a value may be missing.
        findings: quality findings of each window as text, see ``ecgssl.signal.findings.findings_to_cell``.
    """

    digital: NDArray[np.int16]
    lead_mask: NDArray[np.bool_]
    recorded: NDArray[np.int64]
    row: dict[str, Any]
    findings: tuple[str, ...] = ()


def rejected(spec: SignalSpec, reason: str, detail: str) -> PreparedRecording:
    """Return a result without windows, with a row that contains the reason of the rejection."""
    nothing = np.zeros((0, len(spec.leads), spec.samples), dtype=np.int16)
    row = {"status": "rejected", "reasons": reason, "detail": detail}
    return PreparedRecording(nothing, np.zeros(nothing.shape[:2], dtype=bool), np.zeros(0, dtype=np.int64), row)


def prepare_files(
    items: Sequence[Listed], spec: SignalSpec, quality: QualityParams, lsb: float, windows: Windows
) -> list[PreparedRecording]:
    """Read and preprocess files. The result of a rejected file has no windows, and its row contains the reason."""
    found = []
    for item in items:
        row: dict[str, Any] = {"record_id": item.record_id}
        try:
            recording = read_or_reject(item.path, item.overrides)
            row |= {"sampling_rate": recording.sampling_rate, "duration": recording.duration}
            prepared = prepare_recording(recording, spec, quality, lsb, windows)
        except Rejected as error:
            prepared = rejected(spec, error.reason, error.detail)
        found.append(replace(prepared, row=row | prepared.row))
    return found


def prepare_recording(
    recording: Recording, spec: SignalSpec, quality: QualityParams, lsb: float, windows: Windows = "contract"
) -> PreparedRecording:
    """Preprocess one recording, as one window or as several windows.

    Args:
        recording: raw recording.
        spec, quality, lsb: preprocessing settings, quality limits and rounding step (mV) of the bundle.
        windows: window policy for a recording at least twice as long as the input of the model.

    Returns:
        The windows that are not rejected, and the table row of the recording.

    Raises:
        Rejected: preprocessing rejects all windows. The error of the first window is raised.
    """
    pieces = _pieces(recording, spec) if windows != "contract" else [recording]
    digital = np.zeros((len(pieces), len(spec.leads), spec.samples), dtype=np.int16)
    found: list[dict[str, Any]] = []
    errors: list[Rejected] = []
    for piece in pieces:
        try:
            found.append(prepare(piece, spec, quality, lsb, digital[len(found)]))
        except Rejected as error:
            digital[len(found)] = 0
            errors.append(error)
    if not found:
        raise errors[0]
    mask = np.array([_unpack(one["lead_mask"], spec) for one in found])
    recorded = np.array([one["recorded"] for one in found], dtype=np.int64)
    flags = dict.fromkeys(code for one in found for code in one["reasons"].split(";") if code)
    rates = [one["heart_rate"] for one in found if one["heart_rate"] is not None]
    row = {
        "status": "ok",
        "recorded_seconds": int(recorded[0]) / spec.sampling_rate,
        "flags": ";".join(flags),
        "leads": " ".join(lead for lead, seen in zip(spec.leads, np.asarray(mask.any(axis=0)), strict=True) if seen),
        "heart_rate": float(np.median(rates)) if rates else None,
        "windows": len(found),
        "windows_rejected": len(errors),
    }
    return PreparedRecording(digital[: len(found)], mask, recorded, row, tuple(one["findings"] for one in found))


def count_windows(recording: Recording, spec: SignalSpec) -> int:
    """Return the number of complete windows of a recording, at least 1."""
    length = round(spec.duration * recording.sampling_rate)
    return max(recording.signal.shape[1] // length, 1) if length else 1


def _pieces(recording: Recording, spec: SignalSpec) -> list[Recording]:
    """Return all complete windows of a recording, or the unchanged recording if it has fewer than two."""
    length = round(spec.duration * recording.sampling_rate)
    samples, count = recording.signal.shape[1], count_windows(recording, spec)
    if count < 2:
        return [recording]
    first = (samples - count * length) // 2 if spec.crop == "center" else 0
    starts = range(first, first + count * length, length)
    return [replace(recording, signal=recording.signal[:, start : start + length]) for start in starts]


def _unpack(bits: int, spec: SignalSpec) -> NDArray[np.bool_]:
    return np.array([bits >> i & 1 for i in range(len(spec.leads))], dtype=bool)

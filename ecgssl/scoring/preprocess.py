"""Recordings on their way to the model: the store's own preprocessing, with a row for each, refused or not.

Free of torch, so that worker processes start quickly.
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
"""What is scored of a recording longer than the contract's duration.

``contract``: the one window that the contract keeps, its start or its middle, as in training. ``mean`` and ``max``: every
whole window, laid end to end from where the contract would begin, each prepared as a recording of its own; their logits are
averaged, or the largest of each taken.
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
    "leads": str,
    "heart_rate": float,
    "windows": int,
    "windows_rejected": int,
}
"""Of the row of every recording: ``status`` ok or rejected; for a rejected one ``reasons`` (";"-joined codes) and
``detail``; for the others ``flags`` (codes of findings), ``leads`` that the model saw, ``heart_rate`` in beats per minute,
and how many ``windows`` were scored and rejected. ``sampling_rate`` in Hz and ``duration`` in s are the file's own, empty
where it could not be read."""


@dataclass(frozen=True)
class PreparedRecording:
    """One recording after preprocessing.

    Args:
        digital: (windows, L, T) int16 in steps of ``lsb``; rows of absent leads are 0.
        lead_mask: (windows, L) bool.
        row: by ``COLUMNS``.
        findings: of the quality checks, of each window (``ecgssl.signal.findings.findings_to_cell``).
    """

    digital: NDArray[np.int16]
    lead_mask: NDArray[np.bool_]
    row: dict[str, Any]
    findings: tuple[str, ...] = ()


def prepare_files(
    items: Sequence[Listed], spec: SignalSpec, quality: QualityParams, lsb: float, windows: Windows
) -> list[PreparedRecording]:
    """Read and prepare files; what cannot be used has no windows, and a row that says why."""
    made = []
    for item in items:
        row: dict[str, Any] = {"record_id": item.record_id}
        try:
            recording = read_or_reject(item.path, item.overrides)
            row |= {"sampling_rate": recording.sampling_rate, "duration": recording.duration}
            ready = prepare_recording(recording, spec, quality, lsb, windows)
        except Rejected as refusal:
            nothing = np.zeros((0, len(spec.leads), spec.samples), dtype=np.int16)
            row |= {"status": "rejected", "reasons": refusal.reason, "detail": refusal.detail}
            made.append(PreparedRecording(nothing, np.zeros(nothing.shape[:2], dtype=bool), row))
            continue
        made.append(replace(ready, row=row | ready.row))
    return made


def prepare_recording(
    recording: Recording, spec: SignalSpec, quality: QualityParams, lsb: float, windows: Windows = "contract"
) -> PreparedRecording:
    """Prepare one recording, whole or window by window.

    Args:
        recording: as it was recorded.
        spec, quality, lsb: of the bundle.
        windows: policy for a recording of two durations or more.

    Raises:
        Rejected: where it cannot be used; of windows, where none can be, with what is wrong with the first.
    """
    pieces = _pieces(recording, spec) if windows != "contract" else [recording]
    digital = np.zeros((len(pieces), len(spec.leads), spec.samples), dtype=np.int16)
    found: list[dict[str, Any]] = []
    refusals: list[Rejected] = []
    for piece in pieces:
        try:
            found.append(prepare(piece, spec, quality, lsb, digital[len(found)]))
        except Rejected as refusal:
            digital[len(found)] = 0
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    mask = np.array([_unpack(one["lead_mask"], spec) for one in found])
    flags = dict.fromkeys(code for one in found for code in one["reasons"].split(";") if code)
    rates = [one["heart_rate"] for one in found if one["heart_rate"] is not None]
    row = {
        "status": "ok",
        "flags": ";".join(flags),
        "leads": " ".join(lead for lead, seen in zip(spec.leads, np.asarray(mask.any(axis=0)), strict=True) if seen),
        "heart_rate": float(np.median(rates)) if rates else None,
        "windows": len(found),
        "windows_rejected": len(refusals),
    }
    return PreparedRecording(digital[: len(found)], mask, row, tuple(one["findings"] for one in found))


def prepare_one(
    recording: Recording, spec: SignalSpec, quality: QualityParams, lsb: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The contract signal (1, L, T) in mV and lead mask (1, L) of one recording in memory.

    Raises:
        Rejected: where it cannot be used.
    """
    ready = prepare_recording(recording, spec, quality, lsb)
    return ready.digital * np.float32(lsb), ready.lead_mask


def _pieces(recording: Recording, spec: SignalSpec) -> list[Recording]:
    """Whole windows, or the recording itself where there are not two."""
    length = round(spec.duration * recording.sampling_rate)
    samples = recording.signal.shape[1]
    count = samples // length if length else 0
    if count < 2:
        return [recording]
    first = (samples - count * length) // 2 if spec.crop == "center" else 0
    starts = range(first, first + count * length, length)
    return [replace(recording, signal=recording.signal[:, start : start + length]) for start in starts]


def _unpack(bits: int, spec: SignalSpec) -> NDArray[np.bool_]:
    return np.array([bits >> i & 1 for i in range(len(spec.leads))], dtype=bool)

"""Recordings on their way to the model: the store's own preprocessing, with a row for each, refused or not.

Free of torch, so that worker processes start quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.deploy.recordings import Listed
from ecgssl.io.recording import Recording
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.prepare import Rejected, prepare, read_or_reject

COLUMNS = (
    "record_id",
    "status",
    "reasons",
    "detail",
    "flags",
    "sampling_rate",
    "duration",
    "leads",
    "heart_rate",
)
"""Of the row of every recording: ``status`` ok or rejected; for a rejected one ``reasons`` (";"-joined codes) and
``detail``; for the others ``flags`` (codes of findings), ``leads`` that the model saw, ``heart_rate`` in beats per minute.
``sampling_rate`` in Hz and ``duration`` in s are the file's own, empty where it could not be read."""


@dataclass(frozen=True)
class Prepared:
    """Some recordings after preprocessing.

    Args:
        signal: (n, L, T) float32 in mV, of those that passed, in their order.
        lead_mask: (n, L) bool.
        rows: a mapping by ``COLUMNS`` for each recording, passed or not.
    """

    signal: NDArray[np.float32]
    lead_mask: NDArray[np.bool_]
    rows: list[dict[str, Any]]


def prepare_listed(items: Sequence[Listed], spec: SignalSpec, quality: QualityParams, lsb: float) -> Prepared:
    """Read and prepare files; what cannot be used becomes a row that says why."""
    digital = np.zeros((len(items), len(spec.leads), spec.samples), dtype=np.int16)
    masks: list[NDArray[np.bool_]] = []
    rows: list[dict[str, Any]] = []
    for item in items:
        row: dict[str, Any] = {"record_id": item.record_id}
        rows.append(row)
        try:
            recording = read_or_reject(item.path, item.stated)
            row |= {"sampling_rate": recording.sampling_rate, "duration": recording.duration}
            found = prepare(recording, spec, quality, lsb, digital[len(masks)])
        except Rejected as refusal:
            row |= {"status": "rejected", "reasons": refusal.reason, "detail": refusal.detail}
            continue
        mask = _unpack(found["lead_mask"], spec)
        masks.append(mask)
        leads = " ".join(lead for lead, present in zip(spec.leads, mask, strict=True) if present)
        row |= {"status": "ok", "flags": found["reasons"], "leads": leads, "heart_rate": found["heart_rate"]}
    signal = digital[: len(masks)] * np.float32(lsb)
    return Prepared(signal, np.array(masks, dtype=bool).reshape(-1, len(spec.leads)), rows)


def prepare_one(
    recording: Recording, spec: SignalSpec, quality: QualityParams, lsb: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The contract signal (1, L, T) in mV and lead mask (1, L) of one recording in memory.

    Raises:
        Rejected: where it cannot be used.
    """
    digital = np.zeros((1, len(spec.leads), spec.samples), dtype=np.int16)
    found = prepare(recording, spec, quality, lsb, digital[0])
    return digital * np.float32(lsb), _unpack(found["lead_mask"], spec)[None]


def _unpack(bits: int, spec: SignalSpec) -> NDArray[np.bool_]:
    return np.array([bits >> i & 1 for i in range(len(spec.leads))], dtype=bool)

"""Preparation of all complete windows of a long recording (``signal.windows: all``).

The recording is cleaned once, and each window has its own quality checks, lead mask and row. A recording with fewer than
two complete windows is prepared as with ``signal.windows: first``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.errors import RecordingError
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import (
    QUALITY_STAGES,
    Rejected,
    Steps,
    check_quality,
    read_or_reject,
    recording_steps,
    row_of,
    with_defect,
    with_left_out,
)
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import arrange, measured
from ecgssl.signal.quality import assess_cleaned, assess_raw, kept_part
from ecgssl.signal.raw_figures import bridge
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.windows import samples_after, window_count, window_start

REJECTION = ("stage", "reason", "detail", "findings")
"""Fields of a rejection that a row of results holds."""


def window_steps(
    request: RecordingRequest,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    on_read: Callable[[Recording], None] = lambda recording: None,
) -> Steps:
    """Prepare all windows of a recording as a generator that pauses after each stage.

    Args:
        request: recording to prepare.
        spec, quality, lsb: see ``ecgssl.preprocessing.prepare.prepare``.
        on_read: function called with the recording after it has been read.

    Returns:
        ``windows``: one row per window with the results of ``prepare``, or with ``window`` and the fields ``REJECTION`` of a
        rejected window. ``digital``: (stored windows, leads, samples) int16.

    Raises:
        Rejected: the recording cannot be read or cleaned, or it has one window, which is rejected.
    """
    if request.excluded:
        raise Rejected("known_defect", "known_defect", request.defect)
    recording = read_or_reject(request.path, request.overrides)
    on_read(recording)
    yield recording.signal.size
    count = window_count(samples_after(recording.signal.shape[1], recording.sampling_rate, spec), spec)
    digital = np.zeros((count, len(spec.leads), spec.samples), dtype=np.int16)
    if count == 1:
        row = yield from recording_steps(recording, request, spec, quality, lsb, digital[0])
        return {"windows": [row], "digital": digital}
    try:
        raw, present = arrange(recording.signal, recording.leads, spec.leads)
        whole = clean(bridge(raw, np.isfinite(raw)), recording.sampling_rate, spec)
    except RecordingError as error:
        raise with_left_out(Rejected.by(error, "cleaning"), recording) from error
    yield raw.size
    rows: list[dict[str, Any]] = []
    stored = 0
    for window in range(count):
        try:
            row = _window(recording, raw, present, whole, spec, quality, lsb, digital[stored], window)
            rows.append(with_defect(row, request))
            stored += 1
        except Rejected as error:
            rejection = with_left_out(error, recording)
            rows.append({name: getattr(rejection, name) for name in REJECTION} | {"window": window})
    yield raw.size
    return {"windows": rows, "digital": digital[:stored]}


def _window(
    recording: Recording,
    raw: NDArray[np.float32],
    present: NDArray[np.bool_],
    whole: NDArray[np.float32],
    spec: SignalSpec,
    params: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    window: int,
) -> dict[str, Any]:
    """Check and quantise one window of a cleaned recording and return its row.

    Args:
        recording: recording as loaded from its file.
        raw: (leads, samples) unfiltered recording in mV, in the order of ``spec.leads``.
        present: (leads,) bool, true for leads of the recording.
        whole: (leads, any) the cleaned recording.
        spec, params, lsb, out: see ``ecgssl.preprocessing.prepare.prepare``.
        window: number of the window.

    Raises:
        Rejected: the window is rejected.
    """
    rate = recording.sampling_rate
    kept, reach = kept_part(raw.shape[1], rate, spec, window)
    # check the window and the reach of the filter only, because a long recording has many windows
    part = slice(kept.start - reach.start, kept.stop - reach.start), slice(None)
    there = measured(recording.leads, spec.leads)
    quality, _ = assess_raw(raw[:, reach], rate, present, there, params, spec, part)
    check_quality(quality, QUALITY_STAGES[0], params)
    cleaned = np.where(quality.lead_mask[:, None], crop(whole, spec, window=window), np.float32(0.0))
    quality = assess_cleaned(cleaned, quality, params, spec)
    check_quality(quality, QUALITY_STAGES[1], params)
    # the first code is the same as with signal.windows: first, so that copies in other stores are found
    start = window_start(whole.shape[1], spec, window) if window else 0
    return row_of(recording, whole[:, start:], cleaned, quality, spec, params, lsb, out, window)

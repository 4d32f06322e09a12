"""Preparation of one recording, from its file to the int16 rows of a store, or rejection.

``request_steps`` is a generator that pauses after each stage, so that ``ecgssl.preprocessing.interleave`` can run each stage
for a group of recordings. ``prepare``, ``prepare_request`` and ``examine`` run the same stages for one recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.findings import findings_text, findings_to_cell
from ecgssl.signal.leads import arrange, measured
from ecgssl.signal.other_channels import left_out_text
from ecgssl.signal.quality import Quality, assess_cleaned, assess_raw
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import waveform_hash

Steps = Generator[int, None, dict[str, Any]]
"""Generator that prepares a recording. It yields the number of signal values after each stage and returns the results."""

QUALITY_STAGES = ("quality of the raw signal", "quality of the cleaned signal")
"""Stages of the quality checks, in order."""

_LARGEST = np.iinfo(np.int16).max


class Rejected(Exception):
    """Exception for a recording that cannot be used.

    Args:
        stage: processing stage that rejected the recording.
        reason: reason codes, separated by ";".
        detail: explanation without the path, because a path may contain a patient's number.
        findings: results of the quality checks up to this stage (``ecgssl.signal.findings.findings_to_cell``).
        field: name of the invalid field, with which ``detail`` starts; empty if ``detail`` starts with no field.
    """

    def __init__(self, stage: str, reason: str, detail: str, findings: str = "", field: str = "") -> None:
        super().__init__(f"{stage}: {reason}: {detail}")
        self.stage, self.reason, self.detail, self.findings, self.field = stage, reason, detail, findings, field

    @classmethod
    def by(cls, error: RecordingError, stage: str) -> Rejected:
        """Return the rejection for an error of a reader or a cleaning step."""
        problem = error.problems[0]
        return cls(stage, error.reason, f"{problem.field}: {problem.what}", field=problem.field)


@dataclass
class Examination:
    """Results of the preparation of a recording that is examined but not stored.

    Args:
        quality: quality metrics and findings up to the last stage that was reached; ``None`` if the recording was rejected
            before the quality checks.
        rejections: rejections, at most one per stage. ``prepare`` would stop at the first.
        reasons: codes of all findings, in the order of their detection. If all stages ran, flags of the reader follow.
        clipped: number of values outside the int16 range; 0 if preparation stopped early.
    """

    quality: Quality | None = None
    rejections: list[Rejected] = field(default_factory=list)
    reasons: tuple[str, ...] = ()
    clipped: int = 0


def read_or_reject(path: Path | str, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a recording (``ecgssl.io.read``).

    Raises:
        Rejected: the recording cannot be read.
    """
    try:
        return read(path, overrides=overrides)
    except RecordingError as error:
        raise Rejected.by(error, "read") from error


def prepare_request(
    request: RecordingRequest,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    on_read: Callable[[Recording], None] = lambda recording: None,
) -> dict[str, Any]:
    """Read and prepare a recording of a cohort.

    Args:
        request: recording to prepare.
        spec, quality, lsb, out: see ``prepare``.
        on_read: function called with the recording after it has been read.

    Returns:
        Results of ``prepare``; ``reasons`` includes ``known_defect`` for a defect listed by the data set.

    Raises:
        Rejected: the recording cannot be read or used, or its data set excludes it for a known defect.
    """
    return run_steps(request_steps(request, spec, quality, lsb, out, on_read))


def request_steps(
    request: RecordingRequest,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    on_read: Callable[[Recording], None] = lambda recording: None,
) -> Steps:
    """Prepare a recording as a generator that pauses after each stage. Arguments and results as in ``prepare_request``."""
    if request.excluded:
        raise Rejected("known_defect", "known_defect", request.defect)
    recording = read_or_reject(request.path, request.overrides)
    on_read(recording)
    yield recording.signal.size
    return (yield from recording_steps(recording, request, spec, quality, lsb, out))


def recording_steps(
    recording: Recording,
    request: RecordingRequest,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
) -> Steps:
    """Run the stages of ``request_steps`` after the recording has been read."""
    found = yield from _naming_left_out(recording, _steps(recording, spec, quality, lsb, out))
    return with_defect(found, request)


def with_defect(found: dict[str, Any], request: RecordingRequest) -> dict[str, Any]:
    """Return a row with the reason ``known_defect`` if the data set lists a defect of the recording."""
    return found | {"reasons": ";".join(filter(None, (found["reasons"], "known_defect")))} if request.defect else found


def prepare(
    recording: Recording, spec: SignalSpec, params: QualityParams, lsb: float, out: NDArray[np.int16]
) -> dict[str, Any]:
    """Assess, clean, crop and quantise a recording, for stores and for scoring.

    Args:
        recording: recording as loaded from its file.
        spec: preprocessing settings.
        params: limits and policy of the quality checks.
        lsb: size of one int16 step in mV.
        out: (leads, samples) int16, overwritten with the result; rows of absent or masked leads, and samples after the end
            of a short recording, become 0.

    Returns:
        ``source_rate`` in Hz, ``recorded`` (number of recorded samples from the start of ``out``), ``window`` (0),
        ``lead_mask`` (bit i for row i), ``reasons`` (codes of flags, separated by ";"), ``findings``
        (``ecgssl.signal.findings.findings_to_cell``), ``clipped``, ``waveform_hash`` and the quality metrics (``None`` for
        undefined ones).

    Raises:
        Rejected: the recording cannot be used.
    """
    return run_steps(_naming_left_out(recording, _steps(recording, spec, params, lsb, out)))


def examine(recording: Recording, spec: SignalSpec, params: QualityParams, lsb: float) -> Examination:
    """Prepare a recording without storing it. Continue after a rejection by a quality check if a usable lead remains.

    Args:
        recording, spec, params, lsb: see ``prepare``.

    Returns:
        Quality metrics, findings and rejections of all stages that were reached. ``prepare`` raises the first rejection.
    """
    examination = Examination()
    out = np.empty((len(spec.leads), spec.samples), dtype=np.int16)
    try:
        found = run_steps(_steps(recording, spec, params, lsb, out, examination))
        examination.clipped = found["clipped"]
        examination.reasons = tuple(filter(None, found["reasons"].split(";")))
    except Rejected as rejection:
        examination.rejections.append(rejection)
        examination.reasons = examination.quality.reasons if examination.quality else ()
    return examination


def run_steps(steps: Steps) -> dict[str, Any]:
    """Run all stages of a recording without a pause and return the results."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return dict(end.value)


def _naming_left_out(recording: Recording, steps: Steps) -> Steps:
    """Run all stages. If the recording is rejected, add the channels that the reader left out to the explanation."""
    try:
        return (yield from steps)
    except Rejected as error:
        raise with_left_out(error, recording) from error


def with_left_out(error: Rejected, recording: Recording) -> Rejected:
    """Return a rejection whose explanation includes the channels that the reader left out."""
    left_out = left_out_text(recording.meta.get("left_out", ()))
    detail = "; ".join(filter(None, (error.detail, left_out)))
    return Rejected(error.stage, error.reason, detail, error.findings)


def _steps(
    recording: Recording,
    spec: SignalSpec,
    params: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    examination: Examination | None = None,
) -> Steps:
    stage = "signal"
    if recording.signal.shape[1] == 0:
        raise Rejected(stage, "too_short", "duration: 0 s, there are no samples", field="duration")
    least = min(params.min_duration, spec.duration)
    if recording.duration < min(least, params.flat_seconds):
        # all leads of such a recording would be flat, although each is flat for less than the allowed time
        setting = "signal.duration" if least == spec.duration else "quality.min_duration"
        detail = f"duration: {recording.duration:g} s, shorter than the required {least:g} s ({setting})"
        raise Rejected(stage, "too_short", detail, field="duration")
    try:
        raw, present = arrange(recording.signal, recording.leads, spec.leads, copy=False)
        there = measured(recording.leads, spec.leads)
        quality, usable = assess_raw(raw, recording.sampling_rate, present, there, params, spec)
        check_quality(quality, QUALITY_STAGES[0], params, examination)
        yield raw.size
        stage = "cleaning"
        whole = clean(usable, recording.sampling_rate, spec)
        cleaned = crop(whole, spec, params.min_duration)
    except RecordingError as error:
        raise Rejected.by(error, stage) from error
    yield raw.size
    quality = assess_cleaned(cleaned, quality, params, spec)
    check_quality(quality, QUALITY_STAGES[1], params, examination)
    yield raw.size
    return row_of(recording, whole, cleaned, quality, spec, params, lsb, out)


def row_of(
    recording: Recording,
    whole: NDArray[np.float32],
    cleaned: NDArray[np.float32],
    quality: Quality,
    spec: SignalSpec,
    params: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    window: int = 0,
) -> dict[str, Any]:
    """Quantise one window of a recording and return its row, see ``prepare``.

    Args:
        recording: recording as loaded from its file.
        whole: (leads, any) cleaned recording from which the waveform code is computed, from its start.
        cleaned: (leads, recorded samples) window in mV.
        quality: result of the quality checks of the window.
        spec, params, lsb, out: see ``prepare``.
        window: number of the window.

    Raises:
        Rejected: samples are outside the range of int16, and the policy for large amplitudes is not ``flag``.
    """
    usable = quality.lead_mask
    clipped = _quantise(cleaned if usable.all() else np.where(usable[:, None], cleaned, np.float32(0.0)), lsb, out)
    reasons = (*quality.reasons, *recording.meta.get("flags", ()))
    if clipped and "amplitude" not in reasons:
        # the amplitude limit exceeds the int16 range here, so treat clipped samples like implausible amplitudes
        if params.policy["amplitude"] != "flag":
            limit = _LARGEST * lsb
            raise Rejected("store", "amplitude", f"{clipped} samples beyond {limit:g} mV, the largest storable value")
        reasons = (*reasons, "amplitude")
    return {
        "source_rate": recording.sampling_rate,
        "recorded": cleaned.shape[1],
        "window": window,
        "lead_mask": int.from_bytes(np.packbits(usable, bitorder="little").tobytes(), "little"),
        "reasons": ";".join(reasons),
        "findings": findings_to_cell(quality.findings),
        "clipped": clipped,
        "waveform_hash": waveform_hash(whole, usable, spec.sampling_rate, spec.leads),
    } | quality_figures(quality)


def quality_figures(quality: Quality) -> dict[str, float | None]:
    """Return the quality metrics by name, with ``None`` for undefined ones."""
    return {name: None if math.isnan(value) else value for name, value in quality.figures.items()}


def usable_leads_text(quality: Quality, codes: Collection[str], params: QualityParams) -> str:
    """Return a text with the number of usable leads and the setting that requires more; empty for other rejections.

    Args:
        quality: result of the quality checks.
        codes: reason codes of the rejection.
        params: limits of the quality checks.
    """
    usable = f"{int(quality.lead_mask.sum())} usable leads"
    if "min_leads" in codes:
        return f"{usable}, fewer than {min(params.min_leads, len(quality.lead_mask))} (quality.min_leads)"
    return f"{usable}, but all are required (signal.missing_leads)" if "missing_leads" in codes else ""


def check_quality(quality: Quality, stage: str, params: QualityParams, examination: Examination | None = None) -> None:
    """Raise the rejection of a stage, or add it to ``examination`` if that is given and a usable lead remains."""
    if examination is not None:
        examination.quality = quality
    if quality.rejected is None:
        return
    codes = quality.rejected.split(";")
    causes = [f for f in quality.findings if f.code in codes] or list(quality.findings)
    detail = "; ".join(filter(None, (findings_text(causes, params), usable_leads_text(quality, codes, params))))
    rejection = Rejected(stage, quality.rejected, detail, findings_to_cell(quality.findings))
    if examination is None or not quality.lead_mask.any():
        raise rejection
    examination.rejections.append(rejection)


def _quantise(signal: NDArray[np.float32], lsb: float, out: NDArray[np.int16]) -> int:
    """Round the signal to steps of ``lsb`` and write it to ``out``; return the number of values clipped to int16.

    Samples of ``out`` after the end of the signal become 0.
    """
    steps = signal / np.float32(lsb)
    np.rint(steps, out=steps)
    clipped = 0
    # most recordings have no values outside the range, and two reductions are faster than clipping
    if not (steps.max(initial=0) <= _LARGEST and steps.min(initial=0) >= -_LARGEST):
        clipped = int(np.count_nonzero(np.abs(steps) > _LARGEST))
        np.clip(steps, -_LARGEST, _LARGEST, out=steps)
    out[:, : steps.shape[1]] = steps
    out[:, steps.shape[1] :] = 0
    return clipped

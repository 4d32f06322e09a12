"""One recording from its file to the int16 rows of a store, or the reason why it cannot be used.

The way is a generator that pauses after every stage, so that ``ecgssl.preprocessing.interleave`` can take many recordings
through each; ``prepare`` and ``prepare_wanted`` take one through all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.request import Wanted
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import arrange, measured
from ecgssl.signal.quality import Quality, assess_cleaned, assess_raw
from ecgssl.signal.reasons import in_words, to_cell
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import waveform_hash

Steps = Generator[int, None, dict[str, Any]]
"""A recording on its way: yields after each stage how many values its signal has, and returns what was found."""

_LARGEST = np.iinfo(np.int16).max


class Rejected(Exception):
    """A recording that cannot be used.

    Args:
        stage: at which it was refused.
        reason: ";"-joined reason codes.
        detail: for people; without any path, which may hold a patient's number and is this machine's.
        findings: of the quality checks, as far as they came (``ecgssl.signal.reasons.to_cell``).
    """

    def __init__(self, stage: str, reason: str, detail: str, findings: str = "") -> None:
        super().__init__(f"{stage}: {reason}: {detail}")
        self.stage, self.reason, self.detail, self.findings = stage, reason, detail, findings

    @classmethod
    def by(cls, error: RecordingError, stage: str) -> Rejected:
        """Of what a reader or a step of the signal contract raised."""
        problem = error.problems[0]
        return cls(stage, error.reason, f"{problem.field}: {problem.what}")


def read_or_reject(path: Path | str, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """``ecgssl.io.read``, with ``Rejected`` for what it raises."""
    try:
        return read(path, overrides=overrides)
    except RecordingError as error:
        raise Rejected.by(error, "read") from error


def prepare_wanted(
    item: Wanted,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    seen: Callable[[Recording], None] = lambda recording: None,
) -> dict[str, Any]:
    """Read and ``prepare`` a recording of a cohort; a known defect is a reason of its own (``known_defect``).

    Args:
        item: the recording.
        spec, quality, lsb, out: as for ``prepare``.
        seen: is shown what was read, before it is prepared.

    Raises:
        Rejected: where it cannot be read or used, or is excluded by its set's known defects.
    """
    return _to_the_end(steps_wanted(item, spec, quality, lsb, out, seen))


def steps_wanted(
    item: Wanted,
    spec: SignalSpec,
    quality: QualityParams,
    lsb: float,
    out: NDArray[np.int16],
    seen: Callable[[Recording], None] = lambda recording: None,
) -> Steps:
    """``prepare_wanted``, stage by stage: the same arguments, result and errors."""
    if item.excluded:
        raise Rejected("known_defect", "known_defect", item.defect)
    recording = read_or_reject(item.path, item.overrides)
    seen(recording)
    yield recording.signal.size
    found = yield from _steps(recording, spec, quality, lsb, out)
    if item.defect:
        found["reasons"] = ";".join(filter(None, (found["reasons"], "known_defect")))
    return found


def prepare(
    recording: Recording, spec: SignalSpec, params: QualityParams, lsb: float, out: NDArray[np.int16]
) -> dict[str, Any]:
    """Assess, clean, crop and quantise: the one way to a contract signal, for stores and for scoring.

    Args:
        recording: as it was recorded.
        spec: the signal contract.
        params: limits and policy.
        lsb: mV of one int16 step.
        out: (leads, samples), filled; rows of leads that are absent or masked are 0.

    Returns:
        What preprocessing found: ``source_rate`` in Hz, ``lead_mask`` (bit i for row i), ``reasons`` (";"-joined flags),
        ``findings`` (``ecgssl.signal.reasons.to_cell``), ``clipped``, ``waveform_hash`` and the quality figures
        (``None`` where undefined).

    Raises:
        Rejected: where it cannot be used.
    """
    return _to_the_end(_steps(recording, spec, params, lsb, out))


def _to_the_end(steps: Steps) -> dict[str, Any]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return dict(end.value)


def _steps(recording: Recording, spec: SignalSpec, params: QualityParams, lsb: float, out: NDArray[np.int16]) -> Steps:
    stage = "signal"
    if recording.signal.shape[1] == 0:
        raise Rejected(stage, "too_short", "duration: 0 s, there are no samples")
    try:
        raw, present = arrange(recording.signal, recording.leads, spec.leads)
        quality, usable = assess_raw(
            raw, recording.sampling_rate, present, measured(recording.leads, spec.leads), params, spec
        )
        _refuse(quality, "quality of the raw signal", params)
        yield raw.size
        stage = "cleaning"
        whole = clean(usable, recording.sampling_rate, spec)
        cleaned = crop(whole, spec)
    except RecordingError as error:
        raise Rejected.by(error, stage) from error
    yield raw.size
    quality = assess_cleaned(cleaned, quality, params, spec)
    _refuse(quality, "quality of the cleaned signal", params)
    yield raw.size
    clipped = _quantise(np.where(quality.lead_mask[:, None], cleaned, np.float32(0.0)), lsb, out)
    reasons = quality.reasons
    if clipped and "amplitude" not in reasons:
        # limits wider than what int16 holds: the policy of an implausible amplitude applies all the same
        if params.policy["amplitude"] != "flag":
            limit = _LARGEST * lsb
            raise Rejected("store", "amplitude", f"{clipped} samples beyond {limit:g} mV, the largest that is stored")
        reasons = (*reasons, "amplitude")
    return {
        "source_rate": recording.sampling_rate,
        "lead_mask": int(np.sum(quality.lead_mask.astype(np.int64) << np.arange(len(spec.leads)))),
        "reasons": ";".join(reasons),
        "findings": to_cell(quality.findings),
        "clipped": clipped,
        "waveform_hash": waveform_hash(whole, quality.lead_mask, spec.sampling_rate, spec.leads),
    } | {name: None if math.isnan(value) else value for name, value in quality.figures.items()}


def _refuse(quality: Quality, stage: str, params: QualityParams) -> None:
    if quality.rejected is None:
        return
    codes = quality.rejected.split(";")
    told = [f for f in quality.findings if f.code in codes] or list(quality.findings)
    detail = in_words(told, params) or f"{int(quality.lead_mask.sum())} usable leads"
    raise Rejected(stage, quality.rejected, detail, to_cell(quality.findings))


def _quantise(signal: NDArray[np.float32], lsb: float, out: NDArray[np.int16]) -> int:
    """Round to steps of ``lsb`` into ``out``; returns how many values lie beyond int16 and were held at its limits."""
    steps = np.rint(signal / np.float32(lsb))
    clipped = int(np.count_nonzero(np.abs(steps) > _LARGEST))
    np.clip(steps, -_LARGEST, _LARGEST, out=steps)
    out[...] = steps
    return clipped

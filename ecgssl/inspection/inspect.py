"""Inspection of recordings: metadata, signal quality and result of preprocessing. No store is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from ecgssl.config import QualityParams, StoreParams
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.files import make_folder, write_atomic
from ecgssl.io import MEMBER, locate, read
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.formats import identify
from ecgssl.io.listing import RecordingListing, find_recordings
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.io.signatures import other_table
from ecgssl.pool import run_ordered
from ecgssl.preprocessing.prepare import QUALITY_STAGES, Examination, examine, quality_figures, usable_leads_text
from ecgssl.progress import Advance
from ecgssl.signal.findings import findings_text
from ecgssl.signal.heart_rate import PageChecks, reliable_rate
from ecgssl.signal.leads import LEADS, arrange, identify_leads
from ecgssl.signal.reasons import READ_TEXTS
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.windows import samples_after

LSB = StoreParams().lsb
"""Default resolution of a store in mV per int16 step. It determines the range of voltages that can be stored."""

MARGIN = 60.0
"""Duration in s before and after the judged part that is also cleaned. It is much longer than the filter responses."""

Verdict = Literal["ok", "flagged", "rejected", "unreadable"]


@dataclass(frozen=True)
class Inspected:
    """Result of the inspection of one recording.

    Args:
        path: path passed to ``find``, or path of a file in a folder passed to ``find``.
        verdict: ``ok``, ``flagged`` (usable, but with findings), ``rejected`` (by preprocessing) or ``unreadable``.
        format: name of the file format; ``None`` if unknown.
        leads: canonical names of the leads, in the order of the file.
        derived: limb leads that are not in the file but can be computed from its leads.
        left_out: channels of the file other than the twelve leads. Uncommon channel names could identify a patient and
            are replaced by the channel number.
        sampling_rate: sampling rate in Hz.
        duration: duration in s.
        judged: start and end in s of the part to which ``figures`` and ``verdict`` refer. It is the part that preprocessing
            stores (``signal.duration`` and ``signal.crop``).
        meta: metadata of the recording (``Recording.meta``).
        figures: quality measures by name, ``None`` if undefined. Voltages are in mV. ``heart_rate`` is ``None`` if the
            recording is rejected or two detectors disagree (``ecgssl.signal.heart_rate``), as in its drawing.
        reasons: codes of all findings, or of the reader's error. Codes that cause the rejection come first.
        detail: description of the findings, or error message of the reader.
        short: whether the recording is usable and shorter than ``signal.duration``.
    """

    path: str
    verdict: Verdict
    format: str | None = None
    leads: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sampling_rate: float | None = None
    duration: float | None = None
    judged: tuple[float, float] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    detail: str = ""
    short: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary. The key ``unit`` contains the unit of all voltages."""
        return {**vars(self), "meta": {k: v for k, v in self.meta.items() if k != "format"}, "unit": "mV"}


@dataclass(frozen=True)
class Inspection:
    """Results of an inspection, and paths of the files with an unknown format that were found in folders."""

    recordings: tuple[Inspected, ...]
    unknown: tuple[str, ...]

    def count(self, verdict: Verdict) -> int:
        """Return the number of recordings with the given verdict."""
        return sum(recording.verdict == verdict for recording in self.recordings)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
        return {"recordings": [recording.to_dict() for recording in self.recordings], "unknown": list(self.unknown)}


def find(paths: Sequence[Path | str]) -> RecordingListing:
    """List the recordings in files and folders, in the order of ``paths``.

    Args:
        paths: files in any supported format, ``file#member``, WFDB records with or without suffix, and folders. All
            recordings of a file with several recordings are listed.

    Raises:
        InputError: a path does not exist, a file is a table of recordings, or a folder contains no recording. The error
            lists all such paths.
    """
    recordings: list[str] = []
    unknown: list[Path] = []
    problems: list[Problem] = []
    for path in paths:
        if as_on_disk(Path(path)).is_dir():
            found = find_recordings(path)
            recordings += found.recordings
            unknown += found.unknown
            if not found.recordings:
                what = f"contains no recording in a known format ({len(found.unknown)} other files)"
                problems.append(Problem(str(path), "folder", what, "Use a folder that contains recordings"))
            continue
        file, member = locate(path)
        try:
            members = identify(file).list_members(file) if member is None else ()
        except RecordingError as error:
            members = ()
            missing = error.reason == "missing_file" and not file.exists()
            if missing or (error.reason == "format" and other_table(file)):
                problems += error.problems
        recordings += [f"{path}{MEMBER}{name}" for name in members] or [str(path)]
    if problems:
        raise InputError(problems)
    return RecordingListing(tuple(recordings), tuple(unknown))


def inspect(
    found: RecordingListing,
    spec: SignalSpec,
    quality: QualityParams,
    *,
    lsb: float = LSB,
    overrides: MetadataOverrides = NO_OVERRIDES,
    plot: Path | None = None,
    workers: int = 1,
    advance: Advance = lambda count=1, **figures: None,
) -> Inspection:
    """Inspect recordings in files and return the results.

    Args:
        found: recordings to inspect.
        spec: preprocessing settings.
        quality: limits and policy of the quality checks.
        lsb: size of one int16 step of a store in mV.
        overrides: metadata that replace missing or wrong metadata in all files.
        plot: output folder for a 12-lead plot of each readable recording, or a PNG, PDF or SVG file for a single recording.
        workers: number of processes; -1 for one per core.
        advance: function that is called after each recording, for a progress bar.

    Raises:
        InputError: ``plot`` cannot be written, or is a single file for several recordings.
    """
    pages = _pages(found.recordings, plot)
    done = []
    for result in _each(found.recordings, pages, (spec, quality, lsb, overrides), workers):
        done.append(result)
        advance(1)
    return Inspection(tuple(done), tuple(map(str, found.unknown)))


def _pages(listed: Sequence[str], plot: Path | None) -> list[Path | None]:
    """Return the output file of each plot; ``None`` without plots.

    Files in a folder are named after the recordings. Repeated names end in ``-2``, ``-3`` etc.
    """
    if plot is None:
        return [None] * len(listed)
    from ecgssl.signal.figure_file import SUFFIXES

    if plot.suffix.lower() in SUFFIXES:
        if len(listed) > 1:
            what = f"is one file, but {len(listed)} recordings are given"
            raise InputError(Problem(str(plot), "plot", what, "Use a folder"))
        return [plot]
    make_folder(plot)
    pages: list[Path | None] = []
    taken: set[str] = set()
    for path in listed:
        file, member = locate(path)
        name = first = re.sub(r"[^\w.-]+", "_", file.stem if member is None else f"{file.stem}_{member}")[:100]
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{first}-{number}"
        taken.add(name.casefold())
        pages.append(plot / f"{name}.png")
    return pages


def _each(
    listed: Sequence[str],
    pages: list[Path | None],
    settings: tuple[SignalSpec, QualityParams, float, MetadataOverrides],
    workers: int,
) -> Iterator[Inspected]:
    tasks = ((path, *settings, page) for path, page in zip(listed, pages, strict=True))
    return run_ordered(inspect_one, tasks, len(listed), workers)


def inspect_one(
    path: str,
    spec: SignalSpec,
    params: QualityParams,
    lsb: float = LSB,
    overrides: MetadataOverrides = NO_OVERRIDES,
    page: Path | None = None,
) -> Inspected:
    """Inspect one recording. If it cannot be read, the verdict is ``unreadable``.

    Args:
        path: path of the file, or ``file#member``.
        spec: preprocessing settings.
        params: limits and policy of the quality checks.
        lsb: size of one int16 step of a store in mV.
        overrides: metadata that replace missing or wrong metadata of the file.
        page: PNG, PDF or SVG file for a plot of the recording; ``None`` for no plot.
    """
    name = None
    try:
        name = identify(locate(path)[0]).name
        recording = read(path, overrides=overrides)
    except RecordingError as error:
        problem = error.problems[0]
        detail = f"{problem.field}: {problem.what}. {problem.remedy}"
        return Inspected(path, "unreadable", name, reasons=(error.reason,), detail=detail)
    stored = tuple(named.lead for named in identify_leads(recording.leads) if named is not None)
    _, present = arrange(recording.signal[:, :1], recording.leads)
    if page is not None:
        write_atomic(page, _draw(recording, page))
    duration, samples = recording.duration, recording.signal.shape[1]
    recording = _around_judged_part(recording, spec)
    assessed = _assess(recording, spec, params, lsb)
    judged = _judged_part(duration, spec)
    if judged != (0.0, duration):
        text = f"judged: {judged[0]:g} to {judged[1]:g} s of {duration:g} s"
        assessed["detail"] = "; ".join(filter(None, (assessed["detail"], text)))
    short = assessed["verdict"] != "rejected" and samples_after(samples, recording.sampling_rate, spec) < spec.samples
    if short:
        text = f"short: {duration:g} s of the {spec.duration:g} s of a window are recorded"
        assessed["detail"] = "; ".join(filter(None, (assessed["detail"], text)))
    return Inspected(
        path=path,
        format=name,
        leads=stored,
        derived=tuple(lead for lead, there in zip(LEADS, present, strict=True) if there and lead not in stored),
        left_out=recording.meta.get("left_out", ()),
        sampling_rate=recording.sampling_rate,
        duration=duration,
        judged=judged,
        meta=recording.meta,
        short=short,
        **assessed,
    )


def _judged_part(duration: float, spec: SignalSpec) -> tuple[float, float]:
    """Return start and end in s of the part of a recording that is stored and judged."""
    spare = max(duration - spec.duration, 0.0)
    start = spare / 2 if spec.crop == "center" else 0.0
    return start, start + min(duration, spec.duration)


def _around_judged_part(recording: Recording, spec: SignalSpec) -> Recording:
    """Return the judged part of a long recording with ``MARGIN`` before and after it; other recordings are unchanged.

    This limits the time and memory of cleaning. If the part is in the middle, the same number of samples is cut from
    both ends. It is a multiple of the resampling period, so that the resampled samples stay the same.
    """
    rate, samples = recording.sampling_rate, recording.signal.shape[1]
    if spec.crop != "center":
        first, last = 0, round((spec.duration + MARGIN) * rate)
    else:
        period = (Fraction(spec.sampling_rate) / Fraction(rate)).denominator
        spare = int((samples - (spec.duration + 2 * MARGIN) * rate) / 2)
        first = max(spare, 0) // period * period
        last = samples - first
    if first == 0 and last >= samples:
        return recording
    # copy the part, so that the memory of the whole recording is released
    return replace(recording, signal=recording.signal[:, first:last].copy())


def _assess(recording: Recording, spec: SignalSpec, params: QualityParams, lsb: float) -> dict[str, Any]:
    examination = examine(recording, spec, params, lsb)
    quality = examination.quality
    rejected = {code for rejection in examination.rejections for code in rejection.reason.split(";")}
    figures = quality_figures(quality) if quality else {}
    if figures.get("heart_rate") is not None:
        first, last = (round(t * recording.sampling_rate) for t in _judged_part(recording.duration, spec))
        signal, present = arrange(recording.signal[:, first : last + 1], recording.leads)
        checks = PageChecks(";".join(sorted(rejected)), figures["heart_rate"])
        figures["heart_rate"] = reliable_rate(signal[present], recording.sampling_rate, checks)
    return {
        "verdict": "rejected" if rejected else "flagged" if examination.reasons else "ok",
        "figures": figures,
        "reasons": (*sorted(rejected), *(code for code in examination.reasons if code not in rejected)),
        "detail": _detail(examination, rejected, params),
    }


def _detail(examination: Examination, rejected: set[str], params: QualityParams) -> str:
    parts = [f"{r.reason}: {r.detail}" for r in examination.rejections if r.stage not in QUALITY_STAGES]
    parts += [f"{code}: {READ_TEXTS[code]}" for code in examination.reasons if code in READ_TEXTS]
    if examination.clipped:
        parts.append(f"amplitude: {examination.clipped} samples are clipped to the range of a store")
    if examination.quality is not None:
        findings = sorted(examination.quality.findings, key=lambda finding: finding.code not in rejected)
        parts += [findings_text(findings, params), usable_leads_text(examination.quality, rejected, params)]
    return "; ".join(filter(None, parts))


def _draw(recording: Recording, page: Path) -> bytes:
    """Return a plot of the first ten seconds of the raw signal, in the format of the suffix of ``page``."""
    from ecgssl.signal.figure_file import figure_bytes

    return figure_bytes(recording.plot(), page.suffix.lower())

"""WFDB records to ``Recording``.

Format 16, in which nearly all public sets are stored, is read directly; the other storage formats are unpacked by the
wfdb package. Either way lengths and the header's checksums are verified, which wfdb does not do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.recording import Recording
from ecgssl.io.stated import NOTHING, Stated
from ecgssl.io.units import millivolts
from ecgssl.io.wfdb_header import Header, SignalLine, read_header
from ecgssl.signal.leads import canonical

SUFFIXES = (".hea", ".dat", ".mat")

_BYTES = {fmt: Fraction(width) for fmt, width in {8: 1, 16: 2, 24: 3, 32: 4, 61: 2, 80: 1, 160: 2}.items()}
_BYTES |= {212: Fraction(3, 2), 310: Fraction(4, 3), 311: Fraction(4, 3)}
_EXACT = 1 << 23  # differences of integers up to here are exact in float32
_MISSING = -32768

Part = tuple[NDArray[np.float32], tuple[str, ...], float]
"""Signal in mV (leads, samples), lead names, sampling rate in Hz."""


def header_path(path: Path | str) -> Path:
    """Path of the header of a record that is named with or without ``.hea``, ``.dat`` or ``.mat``."""
    path = Path(path)
    return path.with_suffix(".hea") if path.suffix.lower() in SUFFIXES else path.with_name(path.name + ".hea")


def read_wfdb(path: Path | str, member: str | None = None, stated: Stated = NOTHING) -> Recording:
    """Read the twelve standard leads of a WFDB record.

    Args:
        path: the record, with or without the suffix of its header or signal file.
        member: unused, a record is one recording.
        stated: what the header says wrongly.

    Returns:
        The leads in the file's order and spelling, in mV; digital "no value" (-32768 in format 16) is NaN. Channels
        other than the twelve leads (Frank leads, respiration) are left out. ``meta`` holds age and sex at most.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, ``header``, ``no_leads``, ``duplicate_lead``, ``unit`` (not a
            voltage), ``gain`` (0: not calibrated), ``truncated`` or ``length`` (the signal file is shorter or longer
            than the header says), ``checksum``, ``rates`` (leads sampled at different rates).
    """
    hea = header_path(path)
    header = read_header(hea)
    if header.segments:
        signal, names, rate = _read_segments(hea, header)
    else:
        signal, names, rate = _read_single(hea, header)
    return Recording(signal, rate, names, hea.stem, None, header.meta)


def _read_single(hea: Path, header: Header) -> Part:
    leads = _checked_leads(hea, header.signals)
    rows: dict[int, NDArray[np.float32]] = {}
    for file in dict.fromkeys(header.signals[i].file for i in leads):
        group = [i for i, s in enumerate(header.signals) if s.file == file]
        wanted = [i for i in group if i in leads]
        plain = all((s.format, s.per_frame, s.skew) == (16, 1, 0) for s in (header.signals[i] for i in group))
        read = _read_format_16 if plain else _read_other_format
        rows |= read(hea, header, group, wanted)
    lengths = {len(row) for row in rows.values()}
    if len(lengths) > 1:
        raise _error("length", hea, "signals", f"leads have different lengths ({sorted(lengths)} samples)")
    per_frame = header.signals[leads[0]].per_frame
    names = tuple(header.signals[i].name for i in leads)
    return np.stack([rows[i] for i in leads]), names, header.sampling_rate * per_frame


def _checked_leads(hea: Path, signals: Sequence[SignalLine]) -> list[int]:
    leads = [i for i, s in enumerate(signals) if canonical(s.name) is not None and s.file != "~"]
    if not leads:
        found = ", ".join(s.name[:20] or "(unnamed)" for s in signals[:15]) or "no signal"
        raise _error("no_leads", hea, "leads", f"none of the twelve leads is among: {found}")
    names = [canonical(signals[i].name) for i in leads]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise _error("duplicate_lead", hea, ", ".join(twice), "occurs more than once")
    for i in leads:
        if millivolts(signals[i].unit) is None:
            raise _error("unit", hea, f"lead {signals[i].name}", f"unit {signals[i].unit!r} is not a voltage")
        if signals[i].gain == 0:
            raise _error("gain", hea, f"lead {signals[i].name}", "gain 0 or absent: the amplitude is not calibrated")
    if len({signals[i].per_frame for i in leads}) > 1:
        raise _error("rates", hea, "leads", "are sampled at different rates")
    return leads


def _read_format_16(hea: Path, header: Header, group: list[int], wanted: list[int]) -> dict[int, NDArray[np.float32]]:
    signals = header.signals
    dat = hea.parent / signals[group[0]].file
    offset = signals[group[0]].offset
    _check_size(dat, header, group)
    try:
        frames = np.fromfile(dat, dtype="<i2", offset=offset).reshape(-1, len(group))
    except OSError as error:
        raise _error("unreadable", dat, "file", f"cannot be read ({error.strerror})") from error
    digital = np.ascontiguousarray(frames.T)
    # the running sum of int64 is exact, so one reduction serves all leads
    sums = digital.sum(axis=1, dtype=np.int64)
    for row, i in enumerate(group):
        if i in wanted:
            _check_sum(dat, signals[i], int(sums[row]))
    keep = [row for row, i in enumerate(group) if i in wanted]
    lines = [signals[i] for i in wanted]
    if len(keep) < len(group):
        digital = digital[keep]
    exact = all(abs(line.baseline) < _EXACT for line in lines)
    values: NDArray[Any] = digital.astype(np.float32 if exact else np.float64)
    baselines = np.array([[line.baseline] for line in lines], dtype=values.dtype)
    if baselines.any():
        values -= baselines
    values /= np.array([[_steps_per_millivolt(line)] for line in lines], dtype=values.dtype)
    millivolts = values.astype(np.float32, copy=False)
    if digital.size and digital.min() == _MISSING:
        millivolts[digital == _MISSING] = np.nan
    return dict(zip(wanted, millivolts, strict=True))


def _read_other_format(
    hea: Path, header: Header, group: list[int], wanted: list[int]
) -> dict[int, NDArray[np.float32]]:
    import wfdb

    signals = header.signals
    dat = hea.parent / signals[group[0]].file
    _check_size(dat, header, group)
    try:
        record = wfdb.rdrecord(str(hea.with_suffix("")), channels=wanted, physical=False, smooth_frames=False)
        digital = record.e_d_signal
        physical = record.dac(expanded=True)
    except Exception as error:
        # wfdb leaks IndexError, ValueError and others; the cause stays attached for whoever needs it
        raise _error("header", hea, dat.name, f"wfdb cannot read it ({type(error).__name__})") from error
    out = {}
    for i, samples, values in zip(wanted, digital, physical, strict=True):
        if not signals[i].skew:
            _check_sum(dat, signals[i], int(np.sum(samples, dtype=np.int64)))
        out[i] = (np.asarray(values) * (millivolts(signals[i].unit) or math.nan)).astype(np.float32)
    return out


def _read_segments(hea: Path, header: Header) -> Part:
    """Segments one after another; what a segment lacks, and gaps between segments, are NaN."""
    parts: list[tuple[int, Part | None]] = []
    for name, frames in header.segments:
        if frames == 0:
            continue  # the layout segment of a variable-layout record
        if name == "~":
            parts.append((frames, None))
            continue
        segment = read_header(hea.with_name(name + ".hea"))
        if segment.segments:
            raise _error("header", hea, f"segment {name}", "is itself made of segments")
        read = _read_single(hea.with_name(name + ".hea"), segment)
        if read[0].shape[1] != frames or read[2] != header.sampling_rate:
            raise _error("header", hea, f"segment {name}", "has another length or rate than the record says")
        parts.append((frames, read))
    names = tuple(dict.fromkeys(name for _, part in parts if part is not None for name in part[1]))
    if not names:
        raise _error("no_leads", hea, "segments", "none holds a lead")
    total = sum(frames for frames, _ in parts)
    if header.frames is not None and total != header.frames:
        raise _error("header", hea, "segments", f"add up to {total} samples, the record line says {header.frames}")
    signal = np.full((len(names), total), np.nan, dtype=np.float32)
    start = 0
    for frames, part in parts:
        if part is not None:
            signal[[names.index(name) for name in part[1]], start : start + frames] = part[0]
        start += frames
    return signal, names, header.sampling_rate


def _check_size(dat: Path, header: Header, group: list[int]) -> None:
    signals = [header.signals[i] for i in group]
    try:
        size = dat.stat().st_size - signals[0].offset
    except FileNotFoundError:
        raise _error("missing_file", dat, "file", "the header names it, but it does not exist") from None
    except OSError as error:
        raise _error("unreadable", dat, "file", f"cannot be read ({error.strerror})") from error
    width = _BYTES.get(signals[0].format)
    if width is None:
        return  # compressed
    frame = width * sum(s.per_frame for s in signals)
    if header.frames is None:
        if size <= 0 or size % frame:
            raise _error("truncated", dat, "size", f"{size} bytes are not a whole number of frames of {frame} bytes")
        return
    expected = -(-frame * header.frames // 1)
    if size < expected:
        raise _error("truncated", dat, "size", f"{max(size, 0)} bytes of samples, the header announces {expected}")
    # packed formats round up to whole groups of samples
    if size > expected + (0 if frame.denominator == 1 else 4):
        raise _error("length", dat, "size", f"{size} bytes of samples, the header announces {expected}")


def _check_sum(dat: Path, line: SignalLine, total: int) -> None:
    if line.checksum is not None and total % 65536 != line.checksum:
        raise _error("checksum", dat, f"lead {line.name}", "samples do not add up to the checksum in the header")


def _steps_per_millivolt(line: SignalLine) -> float:
    return line.gain / (millivolts(line.unit) or math.nan)


_REMEDY = {
    "unit": "Write the header with a voltage (mV, uV or V)",
    "gain": "State the gain in the header",
    "no_leads": "Name the channels I, II, III, aVR, aVL, aVF, V1 to V6",
    "duplicate_lead": "Name each lead once",
    "rates": "Resample the leads to one rate",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    remedy = _REMEDY.get(reason, "Fetch the record again or leave it out")
    return RecordingError(reason, Problem(str(path), field, what, remedy))

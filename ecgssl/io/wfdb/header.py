"""WFDB header files (``.hea``), parsed by hand: parsing them is where wfdb's own reader spends its time.

Format: PhysioNet, "WFDB header file format", header(5).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import recording_meta

LARGEST_HEADER = 1 << 20
"""Bytes; a larger file is no header."""

MOST_SIGNALS = 256
"""Signals of one record; the largest body surface maps have fewer."""

LARGEST_SEGMENTS = 10_000
"""Segments of one record; far more than the longest bedside recordings have."""

# whole numbers are bounded, and no two parts of a pattern can match the same digits: a header may be hostile
_FORMAT = re.compile(r"(?P<format>\d{1,4})(x(?P<per_frame>\d{1,9}))?(:(?P<skew>\d{1,9}))?(\+(?P<offset>\d{1,15}))?$")
_NUMBER = r"(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?"
_GAIN = re.compile(rf"(?P<gain>[-+]?{_NUMBER})(\((?P<baseline>-?\d{{1,18}})\))?(/+(?P<unit>\S+))?$", re.I)
_FILE = re.compile(r"[-\w]+(\.\w+)*$")
_RATE = re.compile(rf"(?P<rate>{_NUMBER})(/.*)?$", re.I)
_INTEGER = re.compile(r"[-+]?\d{1,18}$")
_INTEGERS = re.compile(r"[-+]?\d{1,18}( [-+]?\d{1,18})*$")


class SignalLine(NamedTuple):
    """One channel of a record, as its header describes it.

    Args:
        file: name of the file with the samples, in the header's folder; ``~`` for a channel without one.
        format: WFDB storage format (16, 212, ...).
        per_frame: samples per frame.
        skew: frames by which the channel lags in its file.
        offset: bytes before the first sample.
        gain: digital steps per ``unit``; 0 where the header states none, which means "not calibrated".
        baseline: digital value of zero.
        unit: as spelled; mV where the header states none.
        first: the first sample's digital value, from which differences count (format 8).
        checksum: of the digital samples, modulo 65536; ``None`` where absent.
        name: description, which for ECG records is the name of the lead.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    first: int
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A parsed header: either signal lines or segments (record name, frames), never both.

    Args:
        sampling_rate: frames per second in Hz; ``None`` where the header leaves it open (the standard's 250 would be a
            guess).
        frames: length; ``None`` where the header leaves it open.
        signals: one per channel of a single-segment record.
        segments: (record name, frames) of a multi-segment record; name ``~`` is a gap.
        meta: ``age`` in years (above 89 is given as 90) and ``sex`` from the comments; nothing else of them is kept,
            because headers hold subject numbers, dates and histories.
    """

    sampling_rate: float | None
    frames: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]
    meta: dict[str, Any]


def read_header(path: Path) -> Header:
    """Read and parse a ``.hea`` file.

    Raises:
        RecordingError: ``missing_file``, ``unreadable`` or ``header``.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_HEADER + 1)
    except FileNotFoundError:
        raise RecordingError(
            "missing_file", Problem(str(path), "file", "the header does not exist", "Correct the path of the record")
        ) from None
    except OSError as error:
        raise RecordingError(
            "unreadable", Problem(str(path), "file", f"cannot be read ({error.strerror})", "Check disk and permissions")
        ) from error
    if len(data) > LARGEST_HEADER or b"\0" in data:
        raise _broken(path, "file", "is no text header")
    return parse_header(data.decode("utf-8", errors="replace"), path)


def parse_header(text: str, path: Path) -> Header:
    """Parse the text of a header; ``path`` names it in messages.

    Raises:
        RecordingError: ``header``, with the line concerned.
    """
    lines, comments = [], []
    for raw in text.replace("\r", "\n").split("\n"):
        line = raw.strip()
        if line.startswith("#"):
            comments.append(line[1:])
        elif line:
            lines.append(line)
    if not lines:
        raise _broken(path, "record line", "is absent")
    tokens = lines[0].split()
    if len(tokens) < 2:
        raise _broken(path, "record line", "does not state the number of signals")
    _, slash, segment_count = tokens[0].partition("/")
    count = _whole(tokens[1], path, "number of signals")
    rate = _rate(tokens[2], path) if len(tokens) > 2 else None
    frames = _whole(tokens[3], path, "number of samples") if len(tokens) > 3 else 0
    expected = _whole(segment_count, path, "number of segments") if slash else count
    body = lines[1:]
    if slash and expected > LARGEST_SEGMENTS:
        raise _broken(path, "record line", f"announces {expected} segments, more than {LARGEST_SEGMENTS}")
    if not slash and expected > MOST_SIGNALS:
        raise _broken(path, "record line", f"announces {expected} signals, more than {MOST_SIGNALS}")
    if len(body) != expected:
        kind = "segments" if slash else "signals"
        raise _broken(path, "record line", f"announces {expected} {kind}, {len(body)} lines follow")
    return Header(
        sampling_rate=rate,
        frames=frames or None,
        signals=() if slash else _signal_lines(body, path),
        segments=tuple(_segment_line(line, path, n) for n, line in enumerate(body, 1)) if slash else (),
        meta=_meta(comments),
    )


def _rate(token: str, path: Path) -> float:
    match = _RATE.match(token)
    rate = float(match["rate"]) if match else math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise _broken(path, "sampling rate", f"{token[:40]!r} is not a positive number")
    return rate


class _Storage(NamedTuple):
    """The first three words of a signal line: file, storage, calibration."""

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int | None
    unit: str


def _signal_lines(lines: list[str], path: Path) -> tuple[SignalLine, ...]:
    # most records store all channels alike; taking the same words apart once halves the time of a header
    known: dict[tuple[str, ...], _Storage] = {}
    return tuple(_signal_line(line, path, f"signal line {n}", known) for n, line in enumerate(lines, 1))


def _signal_line(line: str, path: Path, field: str, known: dict[tuple[str, ...], _Storage]) -> SignalLine:
    tokens = line.split(None, 8)
    start = tuple(tokens[:3])
    storage = known.get(start)
    if storage is None:
        storage = known[start] = _storage(start, path, field)
    words = tokens[3:8]
    # one match for a line, not five: there are a dozen lines in every record
    whole = _INTEGERS.match(" ".join(words))
    numbers = [int(word) if whole else _integer(word, path, field) for word in words]
    zero = numbers[1] if len(numbers) > 1 else 0
    return SignalLine(
        file=storage.file,
        format=storage.format,
        per_frame=storage.per_frame,
        skew=storage.skew,
        offset=storage.offset,
        gain=storage.gain,
        # the standard: where no baseline is given it is the ADC zero
        baseline=zero if storage.baseline is None else storage.baseline,
        unit=storage.unit,
        # the standard again: an initial value that is left out is the ADC zero
        first=numbers[2] if len(numbers) > 2 else zero,
        checksum=numbers[3] % 65536 if len(numbers) > 3 else None,
        name=tokens[8].strip() if len(tokens) > 8 else "",
    )


def _storage(words: tuple[str, ...], path: Path, field: str) -> _Storage:
    if len(words) < 2:
        raise _broken(path, field, "does not state file and format")
    if words[0] != "~" and not _FILE.match(words[0]):
        raise _broken(path, field, f"{words[0][:60]!r} is not a plain file name")
    storage = _FORMAT.match(words[1])
    if storage is None:
        raise _broken(path, field, f"{words[1][:40]!r} is not a storage format")
    gain, baseline, unit = 0.0, None, "mV"
    if len(words) > 2:
        calibration = _GAIN.match(words[2])
        if calibration is None:
            raise _broken(path, field, f"{words[2][:40]!r} is not a gain")
        gain = float(calibration["gain"])
        if not math.isfinite(gain):
            raise _broken(path, field, f"{words[2][:40]!r} is not a finite gain")
        baseline = None if calibration["baseline"] is None else int(calibration["baseline"])
        unit = calibration["unit"] or unit
    return _Storage(
        file=words[0],
        format=int(storage["format"]),
        per_frame=int(storage["per_frame"] or 1) or 1,
        skew=int(storage["skew"] or 0),
        offset=int(storage["offset"] or 0),
        gain=gain,
        baseline=baseline,
        unit=unit,
    )


def _segment_line(line: str, path: Path, number: int) -> tuple[str, int]:
    field = f"segment line {number}"
    tokens = line.split()
    if len(tokens) != 2 or not (tokens[0] == "~" or re.match(r"[-\w]+$", tokens[0])):
        raise _broken(path, field, "is not a record name and a length")
    return tokens[0], _whole(tokens[1], path, field)


def _meta(comments: list[str]) -> dict[str, Any]:
    said: dict[str, str] = {}
    for comment in comments:
        key, _, value = comment.partition(":")
        said[key.strip().casefold()] = value.strip()
    years = said.get("age", "")
    return dict(recording_meta(float(years) if re.match(r"\d{1,3}(\.\d{1,6})?$", years) else None, said.get("sex")))


def _whole(token: str, path: Path, field: str) -> int:
    value = _integer(token, path, field)
    if value < 0:
        raise _broken(path, field, f"{value} is negative")
    return value


def _integer(token: str, path: Path, field: str) -> int:
    if not _INTEGER.match(token):
        raise _broken(path, field, f"{token[:40]!r} is not a whole number")
    return int(token)


def _broken(path: Path, field: str, what: str) -> RecordingError:
    return RecordingError("header", Problem(str(path), field, what, "Fetch the header again or leave the record out"))

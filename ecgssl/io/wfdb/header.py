"""Parser for WFDB header files (``.hea``), about ten times faster than the parser of the package wfdb.

Format: PhysioNet, "WFDB header file format", header(5).
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ecgssl.errors import RecordingError
from ecgssl.files import refuse_pipe
from ecgssl.io.metadata import recording_meta
from ecgssl.io.read_errors import file_errors, read_error
from ecgssl.io.text_encoding import decode

LARGEST_HEADER = 1 << 20
"""Largest header file in bytes."""

_COMMON_HEADER = 1 << 14

MOST_SIGNALS = 256
"""Largest number of signals of a record; body surface maps have fewer."""

LARGEST_SEGMENTS = 10_000
"""Largest number of segments of a record; long bedside recordings have far fewer."""

# headers are untrusted: integers are limited to 18 digits, and all patterns match in linear time
_FORMAT = re.compile(r"(?P<format>\d{1,4})(x(?P<per_frame>\d{1,9}))?(:(?P<skew>\d{1,9}))?(\+(?P<offset>\d{1,15}))?$")
_NUMBER = r"(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?"
_GAIN = re.compile(rf"(?P<gain>[-+]?{_NUMBER})(\((?P<baseline>-?\d{{1,18}})\))?(/+(?P<unit>\S+))?$", re.I)
_FILE = re.compile(r"[-\w]+(\.\w+)*$")
_SEGMENT = re.compile(r"[-\w]+$")
_RATE = re.compile(rf"(?P<rate>{_NUMBER})(/.*)?$", re.I)
_INTEGER = re.compile(r"[-+]?\d{1,18}$")
_INTEGERS = re.compile(r"[-+]?\d{1,18}( [-+]?\d{1,18})*$")


class SignalLine(NamedTuple):
    """Signal line of a WFDB header, which describes one channel.

    Args:
        file: name of the signal file, in the folder of the header; ``~`` for a channel without samples.
        format: WFDB storage format (16, 212, ...).
        per_frame: samples per frame.
        skew: delay of the channel in frames.
        offset: number of bytes before the first sample in the signal file.
        gain: digital steps per ``unit``; 0 if absent (the channel is not calibrated).
        unit: unit as written in the header; mV if absent.
        baseline: digital value that corresponds to 0 in ``unit``.
        first: initial digital value, to which the differences are added in format 8.
        checksum: sum of the digital samples modulo 65536; ``None`` if absent.
        name: description of the signal; in ECG records, the lead name.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    unit: str
    baseline: int
    first: int
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """Parsed WFDB header with either signal lines or segments.

    Args:
        sampling_rate: frames per second in Hz; ``None`` if absent. The default of the WFDB standard, 250 Hz, is not
            used.
        frames: length of the record in frames; ``None`` if absent or 0.
        signals: signal lines of a single-segment record, one per channel.
        segments: record name and number of frames of each segment of a multi-segment record; name ``~`` marks a gap.
        meta: ``age`` in years (90 for ages above 89) and ``sex`` from the comments. Other comments are discarded,
            because they may contain patient data.
    """

    sampling_rate: float | None
    frames: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]
    meta: dict[str, Any]


def read_header(
    path: Path, missing: str = "the header does not exist", fix: str = "Correct the path of the recording"
) -> Header:
    """Read and parse a WFDB header file (``.hea``).

    Args:
        path: path of the header.
        missing, fix: message and fix for a header that does not exist.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable`` or ``header``.
    """
    with file_errors(path, missing, fix):
        refuse_pipe(path)
        with path.open("rb") as stream:
            # most headers have a few hundred bytes, and a buffer for the largest header takes longer to allocate
            data = stream.read(_COMMON_HEADER)
            if len(data) == _COMMON_HEADER:
                data += stream.read(LARGEST_HEADER + 1 - _COMMON_HEADER)
    if len(data) > LARGEST_HEADER or b"\0" in data:
        raise _header_error(path, "file", "is not a text header")
    return parse_header(decode(data), path)


def parse_header(text: str, path: Path) -> Header:
    """Parse the text of a WFDB header; ``path`` is the file name for messages.

    Raises:
        RecordingError: reason ``header``; the message contains the line or field.
    """
    lines, comments = [], []
    for raw in text.replace("\r", "\n").split("\n"):
        line = raw.strip()
        if line.startswith("#"):
            comments.append(line[1:])
        elif line:
            lines.append(line)
    if not lines:
        raise _header_error(path, "record line", "is absent")
    tokens = lines[0].split()
    if len(tokens) < 2:
        raise _header_error(path, "record line", "has no number of signals")
    _, slash, segment_count = tokens[0].partition("/")
    if slash and not _INTEGER.match(segment_count):
        raise _folder_error(path, "record line")
    count = _parse_count(tokens[1], path, "number of signals")
    rate = _rate(tokens[2], path) if len(tokens) > 2 else None
    frames = _parse_count(tokens[3], path, "number of samples") if len(tokens) > 3 else 0
    expected = _parse_count(segment_count, path, "number of segments") if slash else count
    body = lines[1:]
    if slash and expected > LARGEST_SEGMENTS:
        raise _header_error(path, "record line", f"declares more than {LARGEST_SEGMENTS} segments")
    if not slash and expected > MOST_SIGNALS:
        raise _header_error(path, "record line", f"declares more than {MOST_SIGNALS} signals")
    if len(body) != expected:
        kind = "segments" if slash else "signals"
        more = "more" if expected > len(body) else "fewer"
        raise _header_error(path, "record line", f"declares {more} {kind} than the {len(body)} lines that follow")
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
        raise _header_error(path, "sampling rate", "is not a positive number")
    return rate


_Storage = tuple[int, int, int, int, float, str, int | None]
"""Values of the second and third field of a signal line: attributes of ``SignalLine`` from ``format`` to ``baseline``."""


def _signal_lines(lines: list[str], path: Path) -> tuple[SignalLine, ...]:
    split = [line.split(None, 8) for line in lines]
    # one regular expression for all numbers is faster than one per number
    whole = _INTEGERS.match(" ".join([word for tokens in split for word in tokens[3:8]])) is not None
    # the file name is often equal in all channels, and is checked once
    files: set[str] = set()
    return tuple([_signal_line(tokens, path, n, whole, files) for n, tokens in enumerate(split, 1)])


def _signal_line(tokens: list[str], path: Path, number: int, whole: bool, files: set[str]) -> SignalLine:
    """Return a signal line from its fields.

    Args:
        tokens: fields of the line.
        path: file name for messages.
        number: number of the line, from 1.
        whole: whether all numbers of the header are known to be integers.
        files: valid names of signal files; the name of this line is added.
    """
    count = len(tokens)
    if count < 2:
        raise _header_error(path, f"signal line {number}", "has no file and format")
    file = tokens[0]
    if file not in files:
        _require_plain_name(file, path, f"signal line {number}")
        files.add(file)
    storage = _storage(tokens[1], tokens[2] if count > 2 else None)
    if isinstance(storage, str):
        raise _header_error(path, f"signal line {number}", storage)
    if not whole:
        for word in tokens[3:8]:
            _parse_integer(word, path, f"signal line {number}")
    layout, per_frame, skew, offset, gain, unit, baseline = storage
    zero = int(tokens[4]) if count > 4 else 0
    return SignalLine(
        file,
        layout,
        per_frame,
        skew,
        offset,
        gain,
        unit,
        # in the WFDB standard, the ADC zero is the default of the baseline and the initial value
        zero if baseline is None else baseline,
        int(tokens[5]) if count > 5 else zero,
        int(tokens[6]) % 65536 if count > 6 else None,
        tokens[8].strip() if count > 8 else "",
    )


def _require_plain_name(file: str, path: Path, field: str) -> None:
    if "/" in file:
        raise _folder_error(path, field)
    # decomposed letters contain marks that are not letters
    if file != "~" and not _FILE.match(unicodedata.normalize("NFC", file)):
        raise _header_error(path, field, "the name of the signal file is not a plain file name")


@lru_cache(maxsize=1024)
def _storage(layout: str, calibrated: str | None = None) -> _Storage | str:
    """Return the values of the fields for storage format and gain, or the error if one is invalid."""
    storage = _FORMAT.match(layout)
    if storage is None:
        return "the storage format is invalid"
    gain, baseline, unit = 0.0, None, "mV"
    if calibrated is not None:
        calibration = _GAIN.match(calibrated)
        if calibration is None:
            return "the gain is invalid"
        gain = float(calibration["gain"])
        if not math.isfinite(gain):
            return "the gain is not finite"
        baseline = None if calibration["baseline"] is None else int(calibration["baseline"])
        unit = calibration["unit"] or unit
    per_frame = int(storage["per_frame"] or 1) or 1
    skew, offset = int(storage["skew"] or 0), int(storage["offset"] or 0)
    return int(storage["format"]), per_frame, skew, offset, gain, unit, baseline


def _segment_line(line: str, path: Path, number: int) -> tuple[str, int]:
    field = f"segment line {number}"
    tokens = line.split()
    if len(tokens) != 2 or not (tokens[0] == "~" or _SEGMENT.match(unicodedata.normalize("NFC", tokens[0]))):
        raise _header_error(path, field, "does not contain a record name and a length")
    return tokens[0], _parse_count(tokens[1], path, field)


def _meta(comments: list[str]) -> dict[str, Any]:
    entries: dict[str, str] = {}
    for comment in comments:
        key, _, value = comment.partition(":")
        entries[key.strip().casefold()] = value.strip()
    years = entries.get("age", "")
    return recording_meta(float(years) if re.match(r"\d{1,3}(\.\d{1,6})?$", years) else None, entries.get("sex"))


def _parse_count(token: str, path: Path, field: str) -> int:
    value = _parse_integer(token, path, field)
    if value < 0:
        raise _header_error(path, field, "is negative")
    return value


def _parse_integer(token: str, path: Path, field: str) -> int:
    if not _INTEGER.match(token):
        raise _header_error(path, field, "has an entry that is not a whole number")
    return int(token)


def _folder_error(path: Path, field: str) -> RecordingError:
    what = "the record or signal file is named with a folder, which WFDB does not allow"
    fix = (
        "Remove the folder from the names in the header. The median beats of PTB-XL+ are named in this way; "
        "leave them out, because they are not rhythm recordings"
    )
    return read_error("header", path, field, what, fix)


def _header_error(path: Path, field: str, what: str) -> RecordingError:
    return read_error("header", path, field, what)

"""Declared layout of EDF and BDF files: sizes, and whether the records of EDF+D and BDF+D are contiguous.

These checks read the file without the package edfio, before memory is allocated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import file_errors, read_error
from ecgssl.io.size_limits import check_size

_ONSET = re.compile(rb"([+-][0-9]{1,12}(?:\.[0-9]{1,12})?)(?:\x15[0-9.]{0,20})?\x14")
_FIXED = 256
_SAMPLES = 216
"""Offset of the sample counts, in bytes per signal; a header stores each field for all signals together."""


@dataclass(frozen=True)
class EdfKind:
    """Constants of the EDF or the BDF format.

    Args:
        name: short name of the format.
        sample_bytes: size of a stored sample in bytes.
        interrupted: value of the header field ``reserved`` that marks a recording that may have gaps.
        annotations: label of annotation signals.
    """

    name: str
    sample_bytes: int
    interrupted: bytes
    annotations: bytes


EDF = EdfKind("edf", 2, b"EDF+D", b"EDF Annotations")
BDF = EdfKind("bdf", 3, b"BDF+D", b"BDF Annotations")


def check_layout(path: Path, kind: EdfKind) -> None:
    """Check the size of a file against its header, and that a discontinuous recording has no gap.

    Raises:
        RecordingError: reason ``header``, ``truncated`` or ``length`` (fewer or more bytes than declared), ``gaps``
            (records that are not contiguous, or have no times), ``too_large``, ``missing_file`` or ``unreadable``.
    """
    with file_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        fixed = stream.read(_FIXED)
        count = _parse_integer(path, "number of signals", fixed[252:256])
        described = stream.read(256 * max(count, 0))
    if count < 1 or len(described) < 256 * count:
        raise read_error("header", path, "number of signals", "more signals are declared than the header describes")
    lengths = [
        _parse_integer(path, "samples of a record", described[start : start + 8])
        for start in range(_SAMPLES * count, (_SAMPLES + 8) * count, 8)
    ]
    records = _parse_integer(path, "number of records", fixed[236:244])
    width = kind.sample_bytes * sum(lengths)
    if min(lengths) < 0 or width == 0 or records < -1:
        raise read_error("header", path, "lengths", "the numbers of records or samples are invalid")
    stored = size - len(fixed) - len(described)
    if records == -1:  # the number of records was not known when the header was written
        records, rest = divmod(stored, width)
        if rest:
            raise read_error("truncated", path, "size", "the last record is incomplete")
    if stored != records * width:
        reason, more = ("truncated", "fewer") if stored < records * width else ("length", "more")
        raise read_error(reason, path, "size", f"{stored} bytes of samples, {more} than the header declares")
    check_size(path, 1, records * sum(lengths))
    if fixed[192:197] == kind.interrupted:
        labels = [described[16 * i : 16 * i + 16].strip() for i in range(count)]
        if kind.annotations not in labels:
            raise _gaps(path, "the recording is discontinuous and has no times of its records")
        place = labels.index(kind.annotations)
        span = (kind.sample_bytes * sum(lengths[:place]), kind.sample_bytes * lengths[place])
        most = max((n for n, label in zip(lengths, labels, strict=True) if label != kind.annotations), default=1)
        _check_contiguous(path, len(fixed) + len(described), records, width, span, _seconds(path, fixed[244:252]), most)


def _check_contiguous(
    path: Path, start: int, records: int, width: int, span: tuple[int, int], seconds: float, samples: int
) -> None:
    """Check the times of all records: each must begin where the previous one ends, within half a sample.

    Args:
        path: path of the file.
        start: first byte of the records.
        records, width: number of records and bytes of one record.
        span: first byte and number of bytes of the time annotations in a record.
        seconds: duration of a record in s.
        samples: largest number of samples of a signal in a record.
    """
    before = None
    with file_errors(path), path.open("rb") as stream:
        for number in range(records):
            stream.seek(start + number * width + span[0])
            match = _ONSET.match(stream.read(span[1]))
            if match is None:
                raise _gaps(path, "the recording is discontinuous and a record has no time")
            onset = float(match[1])
            if before is not None and abs(onset - before - seconds) > 0.5 * seconds / max(samples, 1):
                raise _gaps(path, f"the recording has a gap before record {number + 1}")
            before = onset


def _gaps(path: Path, what: str) -> RecordingError:
    return read_error("gaps", path, "times of records", what, "Export each continuous part as a file")


def _seconds(path: Path, text: bytes) -> float:
    found = re.fullmatch(rb" *([0-9]{1,8}(?:\.[0-9]{0,7})?) *", text)
    if found is None:
        raise read_error("header", path, "duration of a record", "is not a number")
    return float(found[1])


def _parse_integer(path: Path, field: str, text: bytes) -> int:
    if not re.fullmatch(rb" *-?[0-9]{1,8} *", text):
        raise read_error("header", path, field, "is not a whole number")
    return int(text)

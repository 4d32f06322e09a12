"""EDF and EDF+ files to ``Recording``, parsed by edfio.

Format: Kemp et al. 1992 (EDF) and Kemp & Olivan 2003 (EDF+). Declared lengths are verified here: edfio mends a file that is
too short, and takes a calibration that it cannot use for none.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import parser_errors, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size

if TYPE_CHECKING:
    from edfio import EdfSignal

_LABEL = re.compile(r"(?:ECG|EKG)[ _:-]*(?P<name>\S.*)", re.I)


def read_edf(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the leads of an EDF or a continuous EDF+ file; annotations are left out, and whom and when it records.

    Args:
        path: the file.
        member: none, a file is one recording.
        overrides: what the file says wrongly; ``leads`` names all signals other than annotations.

    Returns:
        The leads in the file's order, in mV. A label may begin with "ECG" or "EKG", which the name is given without.

    Raises:
        RecordingError: ``unreadable``, ``header``, ``truncated`` or ``length`` (the file is shorter or longer than declared),
            ``gain`` (a range without extent), ``gaps`` (EDF+D: parts of it were not recorded; nothing tells a model of
            gaps that are left out), ``too_large``; and as ``resolve_metadata`` and ``build_recording``.
    """
    import edfio

    refuse_member(path, member)
    _check_declared(path)
    with parser_errors(path, "edfio"):
        edf = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
        signals = edf.signals
        labels = [_name(signal.label) for signal in signals]
        rates = [signal.sampling_frequency for signal in signals]
        units = [signal.physical_dimension for signal in signals]
    resolved = resolve_metadata(path, overrides, len(signals), sampling_rate=rates, unit=units, leads=labels)
    for lead, row in zip(resolved.leads, resolved.rows, strict=True):
        _check_calibration(path, lead, signals[row])
    with parser_errors(path, "edfio"):
        rows = [signals[row].data for row in resolved.rows]
    return build_recording(path, resolved, rows, record_id=path.stem, name="edf")


def _name(label: str) -> str:
    match = _LABEL.fullmatch(label.strip())
    return match["name"] if match else label.strip()


def _check_declared(path: Path) -> None:
    """Check the size of the file against its header, before anything is allocated for it."""
    try:
        with path.open("rb") as stream:
            fixed = stream.read(256)
            count = _whole(path, "number of signals", fixed[252:256])
            # the lengths of all signals stand together, behind eight other fields of each
            described = stream.read(256 * max(count, 0))
        size = path.stat().st_size
    except OSError as error:
        raise _error("unreadable", path, "file", f"cannot be read ({error.strerror})") from error
    if count < 1 or len(described) < 256 * count:
        raise _error("header", path, "number of signals", f"{count} are announced, the header is shorter")
    if fixed[192:197] == b"EDF+D":
        raise _error("gaps", path, "EDF+D", "the recording is not continuous")
    lengths = [
        _whole(path, "samples of a record", described[start : start + 8])
        for start in range(216 * count, 224 * count, 8)
    ]
    records = _whole(path, "number of records", fixed[236:244])
    width = 2 * sum(lengths)
    if min(lengths) < 0 or width == 0 or records < -1:
        raise _error("header", path, "lengths", f"{records} records of {width} bytes")
    stored = size - len(fixed) - len(described)
    if records == -1:  # not known when recording began
        records, rest = divmod(stored, width)
        if rest:
            raise _error("truncated", path, "size", f"{rest} bytes more than whole records of {width} bytes")
    if stored != records * width:
        reason = "truncated" if stored < records * width else "length"
        raise _error(reason, path, "size", f"{stored} bytes of samples, the header announces {records * width}")
    check_size(path, 1, records * sum(lengths))


def _check_calibration(path: Path, lead: str, signal: EdfSignal) -> None:
    with parser_errors(path, "edfio"):
        physical, digital = signal.physical_range, signal.digital_range
    extents = (physical.max - physical.min, digital.max - digital.min)
    if not (all(map(math.isfinite, physical)) and extents[0] != 0 and extents[1] > 0):
        raise _error("gain", path, f"lead {lead}", f"ranges {tuple(physical)} and {tuple(digital)} calibrate nothing")


def _whole(path: Path, field: str, text: bytes) -> int:
    if not re.fullmatch(rb" *-?[0-9]{1,8} *", text):
        raise _error("header", path, field, "is not a whole number")
    return int(text)


_REMEDY = {"gaps": "Export it as continuous EDF or EDF+C", "gain": "Export it with the physical ranges of its signals"}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    remedy = _REMEDY.get(reason, "Export the file again or leave it out")
    return RecordingError(reason, Problem(str(path), field, what, remedy))

"""EDF and EDF+ reader, based on edfio.

Formats: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+). Declared lengths and calibrations are checked here, because
edfio accepts files that are too short and ignores calibrations that are invalid.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import file_errors, parser_errors, read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size

if TYPE_CHECKING:
    from edfio import EdfSignal

_LABEL = re.compile(r"(?:ECG|EKG)[ _:-]*(?P<name>\S.*)", re.I)


def read_edf(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the leads of an EDF or continuous EDF+ file. Annotations, patient identification and dates are not read.

    Args:
        path: path of the file.
        member: not accepted; a file holds one recording.
        overrides: values that replace those of the file; ``leads`` names all signals other than annotations.

    Returns:
        The leads in the file's order, in mV. A prefix "ECG" or "EKG" of a label is removed.

    Raises:
        RecordingError: ``unreadable``, ``header``, ``truncated`` or ``length`` (the file is shorter or longer than
            declared), ``gain`` (an empty range), ``gaps`` (EDF+D: the recording is interrupted, and a recording in memory
            cannot represent that), ``too_large``; and errors of ``resolve_metadata`` and ``build_recording``.
    """
    import edfio

    refuse_member(path, member)
    _check_declared(path)
    with parser_errors(path, "edfio"):
        edf = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
        signals = edf.signals
        labels = [_lead_name(signal.label) for signal in signals]
        rates = [signal.sampling_frequency for signal in signals]
        units = [signal.physical_dimension for signal in signals]
    resolved = resolve_metadata(path, overrides, len(signals), sampling_rate=rates, unit=units, leads=labels)
    for lead, row in zip(resolved.leads, resolved.rows, strict=True):
        _check_calibration(path, lead, signals[row])
    with parser_errors(path, "edfio"):
        rows = [signals[row].data for row in resolved.rows]
    return build_recording(path, resolved, rows, record_id=path.stem, name="edf")


def _lead_name(label: str) -> str:
    match = _LABEL.fullmatch(label.strip())
    return match["name"] if match else label.strip()


def _check_declared(path: Path) -> None:
    """Check the size of the file against its header, before memory is allocated."""
    with file_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        fixed = stream.read(256)
        count = _parse_integer(path, "number of signals", fixed[252:256])
        # each signal has 256 bytes; values of the same field are stored together, and lengths follow eight other fields
        described = stream.read(256 * max(count, 0))
    if count < 1 or len(described) < 256 * count:
        raise read_error("header", path, "number of signals", f"{count} are declared, but the header is shorter")
    if fixed[192:197] == b"EDF+D":
        raise read_error("gaps", path, "EDF+D", "the recording is interrupted", "Export it as continuous EDF or EDF+C")
    lengths = [
        _parse_integer(path, "samples of a record", described[start : start + 8])
        for start in range(216 * count, 224 * count, 8)
    ]
    records = _parse_integer(path, "number of records", fixed[236:244])
    width = 2 * sum(lengths)
    if min(lengths) < 0 or width == 0 or records < -1:
        raise read_error("header", path, "lengths", f"{records} records of {width} bytes")
    stored = size - len(fixed) - len(described)
    if records == -1:  # unknown at the start of the recording
        records, rest = divmod(stored, width)
        if rest:
            raise read_error("truncated", path, "size", f"{rest} bytes more than whole records of {width} bytes")
    if stored != records * width:
        reason = "truncated" if stored < records * width else "length"
        raise read_error(reason, path, "size", f"{stored} bytes of samples, but the header declares {records * width}")
    check_size(path, 1, records * sum(lengths))


def _check_calibration(path: Path, lead: str, signal: EdfSignal) -> None:
    with parser_errors(path, "edfio"):
        physical, digital = signal.physical_range, signal.digital_range
    extents = (physical.max - physical.min, digital.max - digital.min)
    if not (all(map(math.isfinite, physical)) and extents[0] != 0 and extents[1] > 0):
        what = f"physical range {tuple(physical)} and digital range {tuple(digital)} are not a calibration"
        raise read_error("gain", path, f"lead {lead}", what, "Export it with the physical ranges of its signals")


def _parse_integer(path: Path, field: str, text: bytes) -> int:
    if not re.fullmatch(rb" *-?[0-9]{1,8} *", text):
        raise read_error("header", path, field, "is not a whole number")
    return int(text)

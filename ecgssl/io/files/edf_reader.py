"""Reader for EDF and EDF+ files, based on the package edfio.

Formats: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+). This module checks lengths and calibrations, because edfio
accepts truncated files and ignores invalid calibrations.
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
    """Read the leads of an EDF or continuous EDF+ file. Annotations, patient data and dates are not read.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace the values of the file. ``leads`` has one name for each signal except
            annotations.

    Returns:
        The leads in mV, in the order of the file. The prefix "ECG" or "EKG" is removed from labels.

    Raises:
        RecordingError: reason ``unreadable``, ``header``, ``truncated`` or ``length`` (the file is shorter or longer
            than declared), ``gain`` (invalid calibration), ``gaps`` (discontinuous recordings, EDF+D) or ``too_large``.
            Errors of ``resolve_metadata`` and ``build_recording`` propagate.
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
    """Check that the file size matches the header, before memory is allocated."""
    with file_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        fixed = stream.read(256)
        count = _parse_integer(path, "number of signals", fixed[252:256])
        # 256 bytes per signal, stored field by field; the number of samples follows after 216 bytes per signal
        described = stream.read(256 * max(count, 0))
    if count < 1 or len(described) < 256 * count:
        raise read_error(
            "header", path, "number of signals", f"{count} signals are declared, but the header is shorter"
        )
    if fixed[192:197] == b"EDF+D":
        raise read_error(
            "gaps", path, "EDF+D", "the recording is discontinuous", "Export it as continuous EDF or EDF+C"
        )
    lengths = [
        _parse_integer(path, "samples of a record", described[start : start + 8])
        for start in range(216 * count, 224 * count, 8)
    ]
    records = _parse_integer(path, "number of records", fixed[236:244])
    width = 2 * sum(lengths)
    if min(lengths) < 0 or width == 0 or records < -1:
        raise read_error("header", path, "lengths", f"{records} records of {width} bytes are invalid")
    stored = size - len(fixed) - len(described)
    if records == -1:  # the number of records was not known when the header was written
        records, rest = divmod(stored, width)
        if rest:
            raise read_error(
                "truncated", path, "size", f"{rest} bytes remain after the last complete record of {width} bytes"
            )
    if stored != records * width:
        reason = "truncated" if stored < records * width else "length"
        raise read_error(reason, path, "size", f"{stored} bytes of samples, but the header declares {records * width}")
    check_size(path, 1, records * sum(lengths))


def _check_calibration(path: Path, lead: str, signal: EdfSignal) -> None:
    with parser_errors(path, "edfio"):
        physical, digital = signal.physical_range, signal.digital_range
    extents = (physical.max - physical.min, digital.max - digital.min)
    if not (all(map(math.isfinite, physical)) and extents[0] != 0 and extents[1] > 0):
        what = f"physical range {tuple(physical)} and digital range {tuple(digital)} are not a valid calibration"
        raise read_error("gain", path, f"lead {lead}", what, "Export the file with valid physical and digital ranges")


def _parse_integer(path: Path, field: str, text: bytes) -> int:
    if not re.fullmatch(rb" *-?[0-9]{1,8} *", text):
        raise read_error("header", path, field, "is not a whole number")
    return int(text)

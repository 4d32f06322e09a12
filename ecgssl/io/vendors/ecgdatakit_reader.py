"""Formats that the package ecgdatakit (extra ``vendor``) unpacks: Philips Sierra XML, SCP-ECG and Mortara ELI XML.

It is given a file only after our own limits and checks, and nothing is taken over from it but rhythm leads, age, sex,
device and filters; median beats, names, dates and statements stay behind.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import parser_errors, read_error
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import read_limited
from ecgssl.io.vendors.choose_strip import check_channels
from ecgssl.io.vendors.sample_text import same_length
from ecgssl.io.vendors.scp_layout import check_scp
from ecgssl.io.vendors.sierra_layout import count_channels
from ecgssl.io.vendors.xml_document import read_xml
from ecgssl.signal.leads import canonical

LARGEST_SCP = 2 << 20
"""Bytes; section 6 counts the bytes of a lead in 16 bits, so that twelve leads have less than 1 MiB."""

_TWIN = re.compile(r"(.+)_\d+$")
_PULSE = 1.0
_PULSE_STEP = 0.005
"""mV of one step of Philips devices."""
_SHORTEST_PULSE = 0.1


def read_sierra(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read Philips Sierra XML, versions 1.03 to 1.04.02, plain or XLI compressed.

    Args:
        path: the file.
        member: unused, a file is one recording.
        overrides: what the file says wrongly.

    Returns:
        The twelve leads. The calibration pulse that some devices append is cut off where it is unmistakable, and
        ``meta["calibration"]`` says how many seconds that were; ``unnamed_channels`` counts channels without a name.

    Raises:
        RecordingError: as ``read_xml``, ``count_channels`` and ``resolve_metadata``; ``missing_extra``; ``gain`` (no
            resolution); ``unreadable`` for whatever ecgdatakit cannot read.
    """
    channels = count_channels(path, read_xml(path, repair=False).root)
    record = _parse(path, "sierra_xml")
    unnamed = channels - len(record.leads)
    extra = {"unnamed_channels": unnamed} if unnamed > 0 else {}
    recording = _recording(path, record, overrides, "sierra", extra)
    return _without_pulse(recording)


def read_scp(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read SCP-ECG (EN 1064, ISO 11073-91064), with Huffman coding, differences and reference beat subtraction.

    Args:
        path: the file.
        member: unused, a file is one recording.
        overrides: what the file says wrongly.

    Returns:
        The twelve leads; those that begin later or end earlier than others are NaN outside.

    Raises:
        RecordingError: as ``check_scp`` and ``resolve_metadata``; ``missing_extra``; ``checksum`` (a section's CRC); ``gain``
            (no amplitude multiplier); ``unreadable`` for whatever ecgdatakit cannot read.
    """
    check_scp(path, read_limited(path, LARGEST_SCP))
    record = _parse(path, "scp_ecg")
    extra = {"ignored": ("section 12",)} if "section12_length" in record.raw_metadata else {}
    return _recording(path, record, overrides, "scp", extra)


def read_mortara(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read Mortara ELI XML (``<ECG ACQUISITION_TIME=...>``).

    Args:
        path: the file.
        member: unused, a file is one recording.
        overrides: what the file says wrongly.

    Returns:
        The twelve leads. An ``OFFSET`` other than 0, whose meaning is written nowhere, is named in ``ignored``.

    Raises:
        RecordingError: as ``read_xml`` and ``resolve_metadata``; ``missing_extra``; ``gain`` (no UNITS_PER_MV); ``length``;
            ``unreadable`` for whatever ecgdatakit cannot read.
    """
    read_xml(path, repair=False)
    record = _parse(path, "mortara_el250")
    extra = {"ignored": ("OFFSET",)} if "channel_offsets" in record.raw_metadata else {}
    return _recording(path, record, overrides, "mortara", extra)


def _parse(path: Path, expected: str) -> Any:
    try:
        from ecgdatakit.exceptions import ChecksumWarning
        from ecgdatakit.parsing.parser import FileParser
    except ImportError:
        problem = Problem(str(path), "package ecgdatakit", "is not installed", "Run: pip install 'ecgssl[vendor]'")
        raise RecordingError("missing_extra", problem) from None
    with parser_errors(path, "ecgdatakit"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        record = FileParser.parse(path, units="mV")
    if any(issubclass(warning.category, ChecksumWarning) for warning in told):
        raise read_error("checksum", path, "sections", "do not give the checksums in the file")
    if record.source_format != expected:
        raise read_error("header", path, "content", "is of another format than its beginning says")
    return record


def _recording(path: Path, record: Any, overrides: MetadataOverrides, name: str, extra: dict[str, Any]) -> Recording:
    leads = record.leads
    check_channels(path, len(leads))
    for lead in leads:
        if lead.is_raw and canonical(_label(lead.label)):
            raise read_error("gain", path, f"lead {lead.label}", "has no resolution: it is not calibrated")
    resolved = resolve_metadata(
        path,
        overrides,
        len(leads),
        sampling_rate=[float(lead.sampling_rate) for lead in leads],
        unit=[lead.units or None for lead in leads],
        leads=[_label(lead.label) for lead in leads],
    )
    kept = [leads[i] for i in resolved.rows]
    rows = _aligned([(int(lead.annotations.get("start_sample", 1)), np.asarray(lead.samples)) for lead in kept])
    same_length(path, rows)
    meta: dict[str, Any] = recording_meta(record.patient.age, record.patient.sex)
    if record.recording.device.model:
        meta["device"] = str(record.recording.device.model)[:40]
    setting = record.recording.acquisition.filters
    filters = {"high_pass": setting.highpass, "low_pass": setting.lowpass, "notch": setting.notch}
    if any(filters.values()):
        meta["filters"] = {key: float(value) for key, value in filters.items() if value}
    return build_recording(path, resolved, rows, record_id=path.stem, name=name, meta=meta | extra)


def _label(label: str) -> str:
    """Name of a lead as the file has it: ecgdatakit calls the second lead II of a file II_2."""
    twin = _TWIN.match(label)
    return twin[1] if twin and canonical(twin[1]) else label


def _aligned(parts: list[tuple[int, NDArray[Any]]]) -> list[NDArray[Any]]:
    """Rows of one length, where leads have their own first sample; NaN outside."""
    first = min(start for start, _ in parts)
    if all(start == first for start, _ in parts) and len({len(row) for _, row in parts}) == 1:
        return [row for _, row in parts]
    length = max(start + len(row) for start, row in parts) - first
    rows = []
    for start, part in parts:
        row = np.full(length, np.nan)
        row[start - first : start - first + len(part)] = part
        rows.append(row)
    return rows


def _without_pulse(recording: Recording) -> Recording:
    """Cut off a calibration pulse: at the end, all leads exactly alike, at 0 and 1 mV and nothing else.

    No heart does that: where limb leads are alike, III = II - I and the others are 0.
    """
    signal = recording.signal
    high = np.isclose(signal[0], _PULSE, rtol=0, atol=_PULSE_STEP)
    alike = (signal == signal[0]).all(axis=0) & (high | (signal[0] == 0))
    # one past the last sample that differs
    start = int(np.flatnonzero(~alike)[-1]) + 1 if not alike.all() else 0
    pulse = np.count_nonzero(high[start:]) / recording.sampling_rate
    if len(recording.leads) < 3 or start == 0 or pulse < _SHORTEST_PULSE:
        return recording
    meta = recording.meta | {"calibration": (signal.shape[1] - start) / recording.sampling_rate}
    return replace(recording, signal=signal[:, :start].copy(), meta=meta)

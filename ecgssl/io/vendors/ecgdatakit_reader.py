"""Readers for Philips Sierra XML, SCP-ECG and Mortara ELI XML, based on the package ecgdatakit (extra ``vendor``).

Sizes and lengths are checked before ecgdatakit parses a file. Only rhythm leads, age, sex, device and filters are used.
Median beats, names, dates and diagnostic statements are discarded.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import parser_errors, read_error
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import read_limited
from ecgssl.io.vendors.choose_strip import check_channels
from ecgssl.io.vendors.scp_layout import check_scp
from ecgssl.io.vendors.sierra_layout import count_channels
from ecgssl.io.vendors.xml_document import read_xml
from ecgssl.signal.leads import named_lead

LARGEST_SCP = 2 << 20
"""Largest SCP-ECG file in bytes; twelve leads need less than 1 MiB, because the size of a lead is a 16-bit number."""

_REPEATED = re.compile(r"(.+)_\d+$")
_PULSE, _PULSE_STEP = 1.0, 0.005
"""Amplitude of the calibration pulse and resolution of the samples of Philips devices, in mV."""
_SHORTEST_PULSE = 0.1
"""Shortest calibration pulse in s."""


def read_sierra(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a Philips Sierra XML file of version 1.03 to 1.04.02, uncompressed or with XLI compression.

    Args:
        path: path of the file.
        member: ignored, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV. Some devices append a calibration pulse, which is removed if it is detected;
        ``meta["calibration"]`` is its length in s. ``meta["unnamed_channels"]`` is the number of channels without a
        name.

    Raises:
        RecordingError: reason ``missing_extra``, ``gain`` (no resolution) or ``unreadable`` (ecgdatakit cannot parse
            the file). Errors of ``read_xml``, ``count_channels`` and ``resolve_metadata`` propagate.
    """
    channels = count_channels(path, read_xml(path, repair=False).root)
    record = _parse(path, "sierra_xml")
    unnamed = channels - len(record.leads)
    extra = {"unnamed_channels": unnamed} if unnamed > 0 else {}
    return _strip_pulse(_build(path, record, overrides, "sierra", extra))


def read_scp(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an SCP-ECG file (EN 1064, ISO 11073-91064).

    Huffman coding, differences and reference beat subtraction are supported.

    Args:
        path: path of the file.
        member: ignored, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV. Leads that start later or end earlier than others are padded with NaN.

    Raises:
        RecordingError: reason ``missing_extra``, ``checksum`` (wrong CRC of a section), ``gain`` (no amplitude
            multiplier) or ``unreadable`` (ecgdatakit cannot parse the file). Errors of ``check_scp`` and
            ``resolve_metadata`` propagate.
    """
    data = read_limited(path, LARGEST_SCP)
    checked = check_scp(path, data)
    record = _parse(path, "scp_ecg", None if checked is data else checked)
    extra: dict[str, Any] = {"ignored": ("section 12",)} if "section12_length" in record.raw_metadata else {}
    if checked is not data:
        extra["repaired"] = ("first_sample",)
    return _build(path, record, overrides, "scp", extra)


def read_mortara(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a Mortara ELI XML file (``<ECG ACQUISITION_TIME=...>``).

    Args:
        path: path of the file.
        member: ignored, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV. If the field ``OFFSET`` is not 0, it is ignored, because its meaning is undocumented,
        and listed in ``meta["ignored"]``.

    Raises:
        RecordingError: reason ``missing_extra``, ``gain`` (no UNITS_PER_MV), ``length`` or ``unreadable`` (ecgdatakit
            cannot parse the file). Errors of ``read_xml`` and ``resolve_metadata`` propagate.
    """
    read_xml(path, repair=False)
    record = _parse(path, "mortara_el250")
    extra = {"ignored": ("OFFSET",)} if "channel_offsets" in record.raw_metadata else {}
    return _build(path, record, overrides, "mortara", extra)


def _parse(path: Path, expected: str, content: bytes | None = None) -> Any:
    """Return the record of ecgdatakit for a file, or for other content in place of that of the file."""
    try:
        from ecgdatakit.exceptions import ChecksumWarning
        from ecgdatakit.parsing.parser import FileParser
    except ImportError:
        fix = "Run: pip install 'ecgssl[vendor]'"
        raise read_error("missing_extra", path, "package ecgdatakit", "is not installed", fix) from None
    with parser_errors(path, "ecgdatakit"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with nullcontext(path) if content is None else _memory_file(content) as source:
            record = FileParser.parse(source, units="mV")
    if any(issubclass(warning.category, ChecksumWarning) for warning in caught):
        raise read_error("checksum", path, "sections", "do not match the checksums in the file")
    if record.source_format != expected:
        raise read_error("header", path, "content", "does not match the format detected from the first bytes")
    return record


@contextmanager
def _memory_file(content: bytes) -> Iterator[Path]:
    """Yield the path of a file with this content, which is kept in memory where the system allows it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("recording")
        with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123 (a descriptor, not a path)
            file.write(content)
            file.flush()
            yield Path(f"/proc/self/fd/{descriptor}")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recording")
        path.write_bytes(content)
        yield path


def _build(path: Path, record: Any, overrides: MetadataOverrides, name: str, extra: dict[str, Any]) -> Recording:
    leads = record.leads
    check_channels(path, len(leads))
    for lead in leads:
        known = named_lead(_label(lead.label))
        if lead.is_raw and known is not None:
            raise read_error("gain", path, f"lead {known.lead}", "has no resolution: the lead is not calibrated")
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
    setting = record.recording.acquisition.filters
    filters = {"high_pass": setting.highpass, "low_pass": setting.lowpass, "notch": setting.notch}
    meta = recording_meta(
        record.patient.age,
        record.patient.sex,
        device=str(record.recording.device.model or ""),
        filters=filters if any(filters.values()) else None,
    )
    return build_recording(path, resolved, rows, record_id=path.stem, name=name, meta=meta | extra)


def _label(label: str) -> str:
    """Return the lead name as written in the file; ecgdatakit renames repeated leads, for example to ``II_2``."""
    repeated = _REPEATED.match(label)
    return repeated[1] if repeated and named_lead(repeated[1]) else label


def _aligned(parts: list[tuple[int, NDArray[Any]]]) -> list[NDArray[Any]]:
    """Align leads that start at different samples. Return rows of equal length, padded with NaN."""
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


def _strip_pulse(recording: Recording) -> Recording:
    """Return the recording without the calibration pulse at its end.

    In the pulse, all leads are identical and have only the values 0 and 1 mV. An ECG cannot have this form: if the
    leads I, II and III are identical, they are 0, because III = II - I.
    """
    signal = recording.signal
    high = np.isclose(signal[0], _PULSE, rtol=0, atol=_PULSE_STEP)
    alike = (signal == signal[0]).all(axis=0) & (high | (signal[0] == 0))
    # first sample of the pulse: the one after the last sample that cannot be part of it
    start = int(np.flatnonzero(~alike)[-1]) + 1 if not alike.all() else 0
    pulse = np.count_nonzero(high[start:]) / recording.sampling_rate
    if len(recording.leads) < 3 or start == 0 or pulse < _SHORTEST_PULSE:
        return recording
    meta = recording.meta | {"calibration": (signal.shape[1] - start) / recording.sampling_rate}
    return replace(recording, signal=signal[:, :start].copy(), meta=meta)

"""Readers for Philips Sierra XML, SCP-ECG and Mortara ELI XML, based on the package ecgdatakit (extra ``vendor``).

Sizes and lengths are checked before ecgdatakit parses a file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import read_limited
from ecgssl.io.vendors.ecgdatakit_record import build_from_record, parse_record
from ecgssl.io.vendors.scp_layout import check_scp
from ecgssl.io.vendors.sierra_layout import count_channels
from ecgssl.io.vendors.xml_document import read_xml

LARGEST_SCP = 2 << 20
"""Largest SCP-ECG file in bytes; twelve leads need less than 1 MiB, because the size of a lead is a 16-bit number."""

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
        name, if there are any.

    Raises:
        RecordingError: reason ``missing_extra``, ``gain`` (no resolution) or ``unreadable`` (ecgdatakit cannot parse
            the file). Errors of ``read_xml``, ``count_channels`` and ``resolve_metadata`` propagate.
    """
    channels = count_channels(path, read_xml(path, repair=False).root)
    record = parse_record(path, "sierra_xml")
    unnamed = channels - len(record.leads)
    extra = {"unnamed_channels": unnamed} if unnamed > 0 else {}
    return _strip_pulse(build_from_record(path, record, overrides, "sierra", extra))


def read_scp(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an SCP-ECG file (EN 1064, ISO 11073-91064).

    Huffman coding, differences and reference beat subtraction are supported.

    Args:
        path: path of the file.
        member: ignored, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV. Leads that start later or end earlier than others are padded with NaN.
        ``meta["repaired"]`` is ``("first_sample",)`` if the file counts samples from 0 (``check_scp``).

    Raises:
        RecordingError: reason ``missing_extra``, ``checksum`` (wrong CRC of a section), ``gain`` (no amplitude
            multiplier) or ``unreadable`` (ecgdatakit cannot parse the file). Errors of ``check_scp`` and
            ``resolve_metadata`` propagate.
    """
    data = read_limited(path, LARGEST_SCP)
    checked = check_scp(path, data)
    record = parse_record(path, "scp_ecg", None if checked is data else checked)
    extra: dict[str, Any] = {"ignored": ("section 12",)} if "section12_length" in record.raw_metadata else {}
    if checked is not data:
        extra["repaired"] = ("first_sample",)
    return build_from_record(path, record, overrides, "scp", extra)


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
    record = parse_record(path, "mortara_el250")
    extra = {"ignored": ("OFFSET",)} if "channel_offsets" in record.raw_metadata else {}
    return build_from_record(path, record, overrides, "mortara", extra)


def _strip_pulse(recording: Recording) -> Recording:
    """Return the recording without the calibration pulse at its end; unchanged if no pulse is detected.

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

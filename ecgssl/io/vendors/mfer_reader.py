"""Reader for MFER files (ISO 22077-1) of Japanese devices, based on the package ecgdatakit (extra ``vendor``).

ecgdatakit only warns if samples are missing or frames do not fit together; these warnings are errors here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import read_limited
from ecgssl.io.vendors.ecgdatakit_record import build_from_record, parse_record
from ecgssl.io.vendors.mfer_layout import InvalidDefinition, count_frames

LARGEST_MFER = 64 << 20
"""Largest file in bytes: more than two hours of eight leads at 500 Hz with 16-bit samples."""

MOST_FRAMES = 64
"""Largest number of waveform frames; ecgdatakit may need 10 MiB for each. A resting ECG has one or two."""

_REFUSED = {
    "missing sample": ("truncated", "the waveform has fewer samples than declared"),
    "no waveform data": ("truncated", "the waveform has fewer samples than declared"),
    "concatenated without a gap": ("gaps", "the recording is interrupted"),
    "redefine the channels": ("gaps", "frames differ in channels, sampling rate or resolution"),
    "attributes for channel": ("header", "attributes of a channel that does not exist"),
}
"""Warnings of ecgdatakit that are errors: part of the text, reason and message."""


def read_mfer(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an MFER file. Dominant beats, names, dates and comments are not read.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: values that replace those of the file.

    Returns:
        The standard leads in mV, in the order of the file; NaN for samples that the file marks as missing. ``meta`` contains
        age, sex, device and filters in Hz, if the file has them.

    Raises:
        RecordingError: reason ``missing_extra``, ``header``, ``truncated``, ``gaps``, ``skew`` (leads are delayed against each
            other), ``rate``, ``gain`` (no resolution), ``too_large`` or ``unreadable`` (compressed, or damaged). Errors of
            ``resolve_metadata`` propagate.
    """
    refuse_member(path, member)
    try:
        frames = count_frames(read_limited(path, LARGEST_MFER))
    except InvalidDefinition:
        raise read_error("truncated", path, "definitions", "one ends beyond the end of the file") from None
    if frames > MOST_FRAMES:
        raise read_error("header", path, "waveform", f"has more than {MOST_FRAMES} frames")
    record = parse_record(path, "mfer", refused=_REFUSED)
    found = record.raw_metadata
    if any(found.get("sample_skew_ns", ())):
        raise read_error("skew", path, "sample skew", "channels are delayed against each other")
    rates: list[Any] = list(found.get("sampling_rates") or [lead.sampling_rate for lead in record.leads])
    if found.get("sampling_rate_stated") is False:
        # the default of the standard, 1000 Hz, is not assumed
        rates = [None] * len(rates)
    return build_from_record(path, record, overrides, "mfer", {}, rates)

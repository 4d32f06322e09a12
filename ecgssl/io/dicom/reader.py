"""Reader for DICOM ECG waveforms (12-lead, general and ambulatory ECG)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.dicom.lead_codes import Contradiction, lead_name
from ecgssl.io.dicom.waveform import Channel, Group, Waveforms, read_waveforms
from ecgssl.io.metadata import (
    NO_OVERRIDES,
    MetadataOverrides,
    ResolvedMetadata,
    build_recording,
    recording_meta,
    resolve_metadata,
)
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size, read_limited
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose_strip, record_id
from ecgssl.io.vendors.sample_text import check_length

LARGEST_DICOM = 32 << 20
"""Largest file in bytes, about 23 minutes of twelve leads at 1 kHz with 16-bit samples."""

PADDING_SECONDS = 0.1
"""Shortest run of the padding value in s that is treated as padding if the value can also be a measured value."""

_TYPES = {("SB", 8): "i1", ("UB", 8): "u1", ("SS", 16): "i2", ("US", 16): "u2", ("SL", 32): "i4", ("UL", 32): "u4"}
_COMPANDED = {"MB": "mu-law", "AB": "A-law"}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def read_dicom(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm waveform of a DICOM ECG. Median beats and other derived waveforms are not read.

    Args:
        path: path of the file, in an uncompressed transfer syntax, with or without preamble.
        member: number of the rhythm waveform, from 1, if the file has several.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV, in the order of the file, with canonical names if the names are not ambiguous. Values
        are sample x sensitivity x correction + baseline; padding (``find_padding``) becomes NaN. ``meta`` contains age,
        sex, device and filters in Hz, if available. If channels are delayed by less than one sample, ``meta["skew"]`` is
        the largest delay in s; it is not corrected.

    Raises:
        RecordingError: reason ``no_leads`` (no waveform), ``header``, ``gain`` (no sensitivity), ``truncated`` or ``length``
            (differs from the declared length), ``skew`` (delays differ by one sample or more), ``compressed``
            (companded samples) or ``too_large``. Errors of ``read_waveforms``, ``choose_strip`` and ``resolve_metadata``
            propagate.
    """
    found = read_waveforms(path, read_limited(path, LARGEST_DICOM))
    if not found.groups:
        raise read_error("no_leads", path, "content", "has no waveform")
    rhythms = [group for group in found.groups if group.rhythm]
    names = [_names(path, group) for group in rhythms]
    strips = [Strip.of(n, g.samples or 0, g.sampling_rate) for g, n in zip(rhythms, names, strict=True)]
    chosen = choose_strip(path, strips, member, len(found.groups) - len(rhythms))
    group = rhythms[chosen]

    check_channels(path, len(group.channels), group.declared)
    resolved = resolve_metadata(
        path,
        overrides,
        len(group.channels),
        sampling_rate=group.sampling_rate,
        unit=[channel.unit for channel in group.channels],
        leads=names[chosen],
    )
    kept = [group.channels[i] for i in resolved.rows]
    skew = _skew(path, kept, resolved.sampling_rate)
    rows = _rows(path, group, found.little_endian, resolved)
    meta = _meta(found, kept, skew)
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name="dicom", meta=meta)


def _names(path: Path, group: Group) -> list[str]:
    try:
        return [lead_name(channel.code, channel.meaning) for channel in group.channels]
    except Contradiction as error:
        raise read_error("header", path, "channel source", str(error)) from None


def _rows(path: Path, group: Group, little_endian: bool, resolved: ResolvedMetadata) -> list[NDArray[np.float64]]:
    if group.interpretation in _COMPANDED:
        raise read_error("compressed", path, "samples", f"are companded ({_COMPANDED[group.interpretation]})")
    kind = _TYPES.get((group.interpretation, group.bits or 0))
    if kind is None:
        raise read_error("header", path, "sample interpretation", "is unknown, or does not fit the bits of a sample")
    if group.samples is None:
        raise read_error("header", path, "number of samples", "is absent")
    count = len(group.channels)
    check_size(path, count, group.samples)
    dtype = np.dtype(kind).newbyteorder("<" if little_endian else ">")
    expected = group.samples * count * dtype.itemsize
    # DICOM pads data of odd length with one byte
    odd = len(group.data) == expected + 1 and expected % 2
    check_length(path, "waveform data", len(group.data) - (1 if odd else 0), expected, "bytes")
    samples = np.frombuffer(group.data, dtype, group.samples * count).reshape(group.samples, count)
    missing = _padding(path, group.padding, dtype)
    rows = []
    for place, lead in zip(resolved.rows, resolved.leads, strict=True):
        channel = group.channels[place]
        factor = (channel.sensitivity or 0.0) * channel.correction
        if not (math.isfinite(factor) and factor and math.isfinite(channel.baseline)):
            raise read_error("gain", path, f"lead {lead}", "its sensitivity is absent or 0: the lead is not calibrated")
        row = samples[:, place] * factor + channel.baseline
        if missing is not None:
            row[find_padding(samples[:, place], missing, resolved.sampling_rate)] = np.nan
        rows.append(row)
    return rows


def _padding(path: Path, padding: bytes, dtype: np.dtype[Any]) -> int | None:
    if not padding:
        return None
    if len(padding) < dtype.itemsize:
        raise read_error("header", path, "padding value", "is shorter than a sample")
    return int(np.frombuffer(padding, dtype, 1)[0])


def find_padding(samples: NDArray[Any], padding: int, rate: float) -> NDArray[np.bool_]:
    """Return a mask of the padding in the samples of a channel.

    If the padding value lies outside the range of the other samples by more than the width of this range, all samples
    with this value are padding. Otherwise it can also be a measured value, such as 0. Then only runs of at least
    ``PADDING_SECONDS`` at the start and the end are padding.

    Args:
        samples: (samples,) stored integers of one channel.
        padding: padding value as stored in the file.
        rate: sampling rate in Hz.
    """
    alike = samples == padding
    if not alike.any() or alike.all():
        return alike
    low, high = int(samples[~alike].min()), int(samples[~alike].max())
    span = max(high - low, 1)
    if padding < low - span or padding > high + span:
        return alike
    before, after = int(np.argmin(alike)), int(np.argmin(alike[::-1]))
    found = np.zeros(len(samples), dtype=bool)
    shortest = PADDING_SECONDS * rate
    found[: before if before >= shortest else 0] = True
    found[len(samples) - (after if after >= shortest else 0) :] = True
    return found


def _skew(path: Path, channels: list[Channel], rate: float) -> float:
    """Return the largest delay between channels in s; a delay of one sample or more is an error."""
    lags = [channel.sample_skew / rate + channel.time_skew for channel in channels]
    skew = max(lags) - min(lags)
    if not skew < 1 / rate:
        raise read_error("skew", path, "channel skew", "channels differ in delay by one sample or more")
    return skew


def _meta(found: Waveforms, channels: list[Channel], skew: float) -> dict[str, Any]:
    age = re.fullmatch(r"([0-9]{1,3})([YMWD])", found.age)
    filters = channels[0].filters if all(channel.filters == channels[0].filters for channel in channels) else {}
    meta = recording_meta(
        float(age[1]) * _YEARS[age[2]] if age else None, found.sex, device=found.model, filters=filters or None
    )
    if not found.preamble:
        meta["preamble"] = "absent"
    if skew:
        meta["skew"] = skew
    return meta

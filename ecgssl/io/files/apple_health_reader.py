"""Reader for electrocardiograms of the Apple Watch, which the Health app exports as CSV files.

There is no public specification. The layout was taken from exported files: header lines with a name and a value in the language
of the phone, then one number per line. Header lines are recognised by their values, so their names can be in any language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgssl.io.metadata import (
    NO_OVERRIDES,
    MetadataOverrides,
    build_recording,
    millivolts,
    recording_meta,
    resolve_metadata,
)
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size, read_limited
from ecgssl.io.text_encoding import decode
from ecgssl.signal.leads import canonical

LARGEST_EXPORT = 16 << 20
"""Largest file in bytes; an electrocardiogram of 30 s has 150 KiB."""

_MOST_HEADER_LINES = 40
_RATE = re.compile(r"([0-9]{1,5}(?:[.,][0-9]{1,9})?)\s*(hertz|hz|hercios|герц|гц|赫兹|赫茲|ヘルツ|헤르츠)", re.I)
_DEVICE = re.compile(r"Watch[0-9]{1,3},[0-9]{1,3}")
_SAMPLE = re.compile(r"[-+\u2212]?[0-9]{1,7}(?:[.,][0-9]{1,9})?")


@dataclass(frozen=True)
class HealthHeader:
    """Content of the lines above the samples.

    Args:
        sampling_rate: sampling rate in Hz.
        lead: canonical name of the lead.
        unit: unit as written in the file.
        device: model, for example ``Watch6,2``; empty if absent.
        lines: number of lines of the header.
    """

    sampling_rate: float
    lead: str
    unit: str
    device: str
    lines: int


def parse_health_header(text: str) -> HealthHeader | None:
    """Parse the lines above the samples.

    Return ``None`` unless they contain a sampling rate, a lead and a voltage unit, and the first sample is in the first
    ``_MOST_HEADER_LINES`` lines of the text.
    """
    rate = lead = unit = None
    device = ""
    for number, line in enumerate(_lines(text), 1):
        if _SAMPLE.fullmatch(line):
            if rate is None or lead is None or unit is None:
                return None
            return HealthHeader(rate, lead, unit, device, number - 1)
        name, separator, value = line.partition(";" if ";" in line.partition(",")[0] else ",")
        value = value.strip(' "\t')
        if not separator or not name or not value:
            continue
        if match := _RATE.fullmatch(value):
            rate = float(match[1].replace(",", "."))
        elif millivolts(value) is not None:
            unit = value
        elif _DEVICE.fullmatch(value):
            device = value
        elif found := canonical(value) or canonical(value.split()[-1]):
            lead = found
    return None


def _lines(text: str) -> Iterator[str]:
    yield from map(_unquoted, text.splitlines()[:_MOST_HEADER_LINES])


def _unquoted(line: str) -> str:
    line = line.strip()
    return line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line


def is_health_export(head: bytes) -> bool:
    """Return whether the first bytes of a file are an electrocardiogram exported by the Health app."""
    return b"\0" not in head and parse_health_header(decode(head)) is not None


def read_apple_health(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an electrocardiogram of the Health app. Names, dates, symptoms and the classification are not read.

    Args:
        path: path of the file. Header names can be in any language; numbers have a decimal point or a decimal comma.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace the values of the file.

    Returns:
        The lead named in the header (usually I) in mV. ``meta`` contains the model of the watch, if available.

    Raises:
        RecordingError: reason ``unreadable``, ``header``, ``content`` (a line that is not a number), ``length`` (no samples)
            or ``too_large``. Errors of ``resolve_metadata`` propagate.
    """
    refuse_member(path, member)
    text = decode(read_limited(path, LARGEST_EXPORT))
    header = parse_health_header(text)
    if header is None:
        raise read_error("header", path, "lines above the samples", "lack the sampling rate, the lead or the unit")
    lines = [_unquoted(line) for line in text.splitlines()[header.lines :]]
    samples = [line for line in lines if line]
    check_size(path, 1, len(samples))
    wrong = next((i for i, line in enumerate(lines, header.lines + 1) if line and not _SAMPLE.fullmatch(line)), None)
    if wrong is not None:
        raise read_error("content", path, f"line {wrong}", "is not a number")
    values = np.array([float(line.replace(",", ".").replace("\u2212", "-")) for line in samples])
    resolved = resolve_metadata(
        path, overrides, 1, sampling_rate=header.sampling_rate, unit=header.unit, leads=[header.lead]
    )
    meta = recording_meta(None, None, device=header.device)
    return build_recording(path, resolved, [values], record_id=path.stem, name="apple_health", meta=meta)

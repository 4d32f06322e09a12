"""Reader for ISHNE Holter files (Badilini 1998), based on the package ecgdatakit (extra ``vendor``).

This module checks the header, because ecgdatakit does not check the number of samples. It also replaces the value that
marks a disconnected electrode by NaN.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import file_errors, read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size
from ecgssl.io.vendors.ecgdatakit_record import build_from_record, parse_record

_HEADER = 522
_MOST_LEADS = 12
_FAULT = -32768
"""Sample value of a disconnected electrode."""


def read_ishne(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read an ISHNE file. Names, dates and comments are not read.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: values that replace those of the file.

    Returns:
        The standard leads in mV, in the order of the file; NaN while an electrode is disconnected. ``meta`` contains age, sex
        and device, if available.

    Raises:
        RecordingError: reason ``missing_extra``, ``header``, ``truncated`` or ``length`` (fewer or more samples than
            declared), ``checksum``, ``gain`` (no resolution), ``too_large`` or ``unreadable``. Errors of
            ``resolve_metadata`` propagate.
    """
    refuse_member(path, member)
    _check_layout(path)
    record = parse_record(path, "ishne_holter")
    for lead in record.leads:
        # ecgdatakit scales the samples to mV before it returns them
        step = lead.adc_resolution * 1e-6 if lead.adc_resolution_unit == "nV" else 1.0
        lead.samples = np.where(np.rint(lead.samples / step) == _FAULT, np.nan, lead.samples)
    return build_from_record(path, record, overrides, "ishne", {})


def _check_layout(path: Path) -> None:
    """Check the number of leads and samples against the size of the file."""
    with file_errors(path), path.open("rb") as stream:
        head = stream.read(_HEADER)
        size = path.stat().st_size
    if len(head) < _HEADER:
        raise read_error("truncated", path, "header", "is shorter than 522 bytes")
    comments, declared = struct.unpack_from("<2i", head, 10)
    (leads,) = struct.unpack_from("<h", head, 156)
    if not 1 <= leads <= _MOST_LEADS:
        raise read_error("header", path, "number of leads", f"is not between 1 and {_MOST_LEADS}")
    if comments < 0 or _HEADER + comments > size:
        raise read_error("header", path, "variable block", "is longer than the file")
    samples, rest = divmod((size - _HEADER - comments) // 2, leads)
    check_size(path, leads, samples)
    if rest or (size - comments) % 2:
        raise read_error("truncated", path, "samples", "the last frame is incomplete")
    # the format counts samples per lead; some programs count those of all leads
    if declared not in (samples, samples * leads):
        reason, more = ("truncated", "fewer") if samples < declared else ("length", "more")
        raise read_error(reason, path, "samples", f"{samples} per lead, {more} than the header declares")

"""Records that the package ecgdatakit (extra ``vendor``) parses, converted to ``Recording``.

Only rhythm leads, age, sex, device and filters are used; median beats, names, dates and statements are discarded.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.extras import install_line, installed
from ecgssl.io.metadata import MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import parser_errors, read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import check_channels
from ecgssl.signal.leads import named_lead

_REPEATED = re.compile(r"(.+)_\d+$")


def parse_record(
    path: Path,
    expected: str,
    content: bytes | None = None,
    refused: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Any:
    """Return the record of ecgdatakit for a file.

    Args:
        path: path of the file.
        expected: format that ecgdatakit must detect.
        content: bytes to parse instead of the file; ``None`` to parse the file.
        refused: warnings of ecgdatakit to treat as errors. Keys are parts of the warning text; values are the reason and the
            message of the error.

    Raises:
        RecordingError: reason ``missing_extra``, ``checksum``, ``header`` (another format), ``unreadable``, or a reason
            in ``refused``.
    """
    if not installed("ecgdatakit"):
        fix = f"Run: {install_line('ecgdatakit')}"
        raise read_error("missing_extra", path, "package ecgdatakit", "is not installed", fix)
    from ecgdatakit.exceptions import ChecksumWarning
    from ecgdatakit.parsing.parser import FileParser

    with parser_errors(path, "ecgdatakit"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with nullcontext(path) if content is None else _memory_file(content) as source:
            record = FileParser.parse(source, units="mV")
    if any(issubclass(warning.category, ChecksumWarning) for warning in caught):
        raise read_error("checksum", path, "sections", "do not match the checksums in the file")
    for text, (reason, what) in refused.items():
        if any(text in str(warning.message) for warning in caught):
            raise read_error(reason, path, "waveform", what)
    if record.source_format != expected:
        raise read_error("header", path, "content", "does not match the format detected from the first bytes")
    return record


@contextmanager
def _memory_file(content: bytes) -> Iterator[Path]:
    """Yield the path of a file with this content, which is in memory if the system has ``memfd_create``."""
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


def build_from_record(
    path: Path,
    record: Any,
    overrides: MetadataOverrides,
    name: str,
    extra: dict[str, Any],
    rates: Sequence[float | None] | None = None,
) -> Recording:
    """Convert a record of ecgdatakit to a ``Recording``. Leads that start later or end earlier are padded with NaN.

    Args:
        path: path of the file.
        record: record with leads in mV.
        overrides: values that replace those of the file.
        name: name of the format.
        extra: additional entries of ``Recording.meta``.
        rates: sampling rates in Hz of the leads; by default those of ecgdatakit, which are whole numbers.

    Raises:
        RecordingError: reason ``gain`` if one of the twelve leads has no resolution. Errors of ``check_channels``,
            ``resolve_metadata`` and ``build_recording`` propagate.
    """
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
        sampling_rate=rates if rates is not None else [float(lead.sampling_rate) for lead in leads],
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

"""Readers for EDF and EDF+ files, and for BDF and BDF+ files (24 bits per sample), based on the package edfio.

Formats: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+), BioSemi (BDF). ``edf_layout`` checks lengths and this module checks
calibrations, because edfio accepts truncated files and ignores invalid calibrations.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgssl.io.files.edf_layout import BDF, EDF, EdfKind, check_layout
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, millivolts, resolve_metadata
from ecgssl.io.read_errors import parser_errors, read_error, refuse_member
from ecgssl.io.recording import Recording

if TYPE_CHECKING:
    from edfio import BdfSignal, EdfSignal

_LABEL = re.compile(r"(?:ECG|EKG)[ _:-]*(?P<name>\S.*)", re.I)
_RANGES = "Export the file with valid physical and digital ranges"


def read_edf(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the leads of an EDF or EDF+ file without gaps. Annotations, patient data and dates are not read.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace the values of the file. ``leads`` has one name for each signal except
            annotations.

    Returns:
        The leads in mV, in the order of the file. The prefix "ECG" or "EKG" is removed from labels. A lead whose physical
        or digital range is empty has no calibration: it is NaN, and ``meta["uncalibrated"]`` contains its name.

    Raises:
        RecordingError: reason ``unreadable``, ``gain`` (invalid calibration, or no lead with a calibration). Errors of
            ``check_layout``, ``resolve_metadata`` and ``build_recording`` propagate.
    """
    import edfio

    refuse_member(path, member)
    check_layout(path, EDF)
    with parser_errors(path, "edfio"):
        signals = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1").signals
    return _read(path, EDF, signals, overrides)


def read_bdf(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the leads of a BDF or BDF+ file without gaps. Arguments, result and errors are those of ``read_edf``."""
    import edfio

    refuse_member(path, member)
    check_layout(path, BDF)
    with parser_errors(path, "edfio"):
        signals = edfio.read_bdf(path, header_encoding="latin-1").signals
    return _read(path, BDF, signals, overrides)


def _read(
    path: Path, kind: EdfKind, signals: tuple[EdfSignal, ...] | tuple[BdfSignal, ...], overrides: MetadataOverrides
) -> Recording:
    with parser_errors(path, "edfio"):
        labels = [_lead_name(signal.label) for signal in signals]
        rates = [signal.sampling_frequency for signal in signals]
        units = [_unit(signal) for signal in signals]
    resolved = resolve_metadata(path, overrides, len(signals), sampling_rate=rates, unit=units, leads=labels)
    calibrated = [
        _is_calibrated(path, lead, signals[row]) for lead, row in zip(resolved.leads, resolved.rows, strict=True)
    ]
    if not any(calibrated):
        raise read_error("gain", path, "leads", "have empty physical or digital ranges", _RANGES)
    with parser_errors(path, "edfio"):
        rows = [
            signals[row].data if known else np.full(len(signals[row].digital), np.nan)
            for row, known in zip(resolved.rows, calibrated, strict=True)
        ]
    dead = tuple(lead for lead, known in zip(resolved.leads, calibrated, strict=True) if not known)
    meta: dict[str, Any] = {"uncalibrated": dead} if dead else {}
    return build_recording(path, resolved, rows, record_id=path.stem, name=kind.name, meta=meta)


def _lead_name(label: str) -> str:
    match = _LABEL.fullmatch(label.strip())
    return match["name"] if match else label.strip()


def _unit(signal: EdfSignal | BdfSignal) -> str:
    """Return the unit of a signal, or mV if it has neither a voltage unit nor a range: such a lead is masked, not refused."""
    unit = signal.physical_dimension
    try:
        dead = millivolts(unit) is None and not _has_ranges(signal)
    except ValueError:
        # only the ranges of leads are required to be numbers
        return unit
    return "mV" if dead else unit


def _has_ranges(signal: EdfSignal | BdfSignal) -> bool:
    physical, digital = signal.physical_range, signal.digital_range
    return physical.max != physical.min and digital.max != digital.min


def _is_calibrated(path: Path, lead: str, signal: EdfSignal | BdfSignal) -> bool:
    """Return whether the ranges of a lead give a calibration; ``False`` if one of them is empty.

    Raises:
        RecordingError: reason ``gain`` if a range is not finite, or the digital range is inverted.
    """
    with parser_errors(path, "edfio"):
        physical, digital = signal.physical_range, signal.digital_range
    if not all(map(math.isfinite, physical)) or digital.max < digital.min:
        raise read_error("gain", path, f"lead {lead}", "its physical or digital range is not a calibration", _RANGES)
    return _has_ranges(signal)

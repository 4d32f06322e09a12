"""Reader for HL7 annotated ECG (``<AnnotatedECG>``, ANSI/HL7 V3 ECG R1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.metadata import (
    NO_OVERRIDES,
    MetadataOverrides,
    build_recording,
    millivolts,
    recording_meta,
    resolve_metadata,
)
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose_strip, record_id
from ecgssl.io.vendors.sample_text import count_words, parse_integers
from ecgssl.io.vendors.xml_document import child_text, parse_number, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SECONDS = {"s": 1, "ms": 1000, "us": 1_000_000}
_YEARS = {"a": 1.0, "mo": 1 / 12, "wk": 7 / 365.25, "d": 1 / 365.25}
_AGE = "21612-7"
_CONTROL = "MDC_ECG_CTL_VBL_ATTR_FILTER_"


@dataclass(frozen=True)
class _SequenceSet:
    """Sequence set of an annotated ECG: leads that were recorded simultaneously.

    Args:
        leads: lead code and ``value`` element of each lead.
        increment: ``increment`` element with the sampling interval; ``None`` if absent.
    """

    leads: list[tuple[str, Element]]
    increment: Element | None


def read_aecg(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm waveform of an HL7 annotated ECG. Representative beats and other derived series are not read.

    Args:
        path: path of the file.
        member: number of the rhythm waveform, from 1, if the file has several.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The standard leads in mV, in the order and spelling of the file (``MDC_ECG_LEAD_I``). Values are origin + scale
        x digit. ``meta`` contains age, sex, device and filters in Hz, if available.

    Raises:
        RecordingError: reason ``header``, ``gain`` (no scale), ``content`` (samples are not integers), ``length``
            (leads have different lengths), ``rate`` or ``unit``. Errors of ``read_xml``, ``choose_strip`` and
            ``resolve_metadata`` propagate.
    """
    document = read_xml(path, root="AnnotatedECG")
    root = document.root
    series = root.findall("component/series")
    rhythms = [one for one in series if _code(one).upper() == "RHYTHM"]
    sets = [(one, _read_set(found)) for one in rhythms for found in one.findall("component/sequenceSet")]
    sets = [(one, found) for one, found in sets if found.leads]
    beats = len(series) - len(rhythms) + sum(1 for _ in root.iter("derivedSeries"))
    strips = [_strip(path, found) for _, found in sets]
    chosen, found = sets[choose_strip(path, strips, member, beats)]

    check_channels(path, len(found.leads))
    resolved = resolve_metadata(
        path,
        overrides,
        len(found.leads),
        sampling_rate=_rate(path, found.increment),
        unit=[_unit(value) for _, value in found.leads],
        leads=[code for code, _ in found.leads],
    )
    rows = [
        _samples(path, lead, found.leads[i][1], in_unit=overrides.unit)
        for i, lead in zip(resolved.rows, resolved.leads, strict=True)
    ]
    meta = _meta(root, chosen) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name="aecg", meta=meta)


def _read_set(element: Element) -> _SequenceSet:
    leads, increment = [], None
    for sequence in element.findall("component/sequence"):
        code, value = _code(sequence), sequence.find("value")
        if value is None:
            continue
        if code.upper().startswith("TIME_"):
            increment = value.find("increment")
        else:
            leads.append((code, value))
    return _SequenceSet(leads, increment)


def _strip(path: Path, found: _SequenceSet) -> Strip:
    samples = max(count_words(value.findtext("digits", "")) for _, value in found.leads)
    return Strip.of((code for code, _ in found.leads), samples, _rate(path, found.increment))


def _code(element: Element) -> str:
    code = element.find("code")
    return "" if code is None else code.get("code", "").strip()


def _rate(path: Path, increment: Element | None) -> float | None:
    if increment is None:
        return None
    value, unit = increment.get("value", ""), increment.get("unit", "").strip()
    step = parse_number(path, "increment", value)
    if unit not in _SECONDS or not step or step < 0:
        raise read_error("rate", path, "increment", "is not a valid sampling interval")
    # fractions are exact: an interval of 0.002 s gives 500 Hz without rounding error
    return float(_SECONDS[unit] / Fraction(value.strip()))


def _unit(value: Element) -> str | None:
    scale = value.find("scale")
    return None if scale is None else scale.get("unit", "").strip() or None


def _samples(path: Path, lead: str, value: Element, *, in_unit: str | None) -> NDArray[np.float64]:
    """Return the samples of a lead in the unit of its ``scale`` element.

    ``in_unit`` is the unit set by the user. If it is not ``None``, the units of ``scale`` and ``origin`` are ignored.
    """
    field = f"lead {lead}"
    scale, origin = value.find("scale"), value.find("origin")
    step = None if scale is None else parse_number(path, f"{field}: scale", scale.get("value"))
    if scale is None or not step:
        raise read_error("gain", path, field, "the scale is absent or 0, so the lead is not calibrated")
    start = 0.0
    if origin is not None:
        start = parse_number(path, f"{field}: origin", origin.get("value")) or 0.0
    if start and origin is not None and in_unit is None:
        start *= _ratio(path, field, origin.get("unit", ""), scale.get("unit", ""))
    return start + step * parse_integers(path, field, value.findtext("digits", ""), " ")


def _ratio(path: Path, field: str, unit: str, to: str) -> float:
    one, other = millivolts(unit), millivolts(to)
    if one is None or other is None:
        raise read_error("unit", path, field, "the unit of the origin is not a voltage")
    return one / other


def _meta(root: Element, series: Element) -> dict[str, Any]:
    gender = next(root.iter("administrativeGenderCode"), None)
    sex = None if gender is None else gender.get("code")
    device = series.find("author/seriesAuthor/manufacturedSeriesDevice")
    model = "" if device is None else child_text(device, "manufacturerModelName")
    return recording_meta(_age(root), sex, device=model, filters=dict(_filters(series)) or None)


def _age(root: Element) -> float | None:
    for observation in root.findall("controlVariable/relatedObservation"):
        value = observation.find("value")
        if _code(observation) == _AGE and value is not None:
            unit = _YEARS.get(value.get("unit", ""))
            years = _plain(value.get("value", ""))
            return None if unit is None or years is None else years * unit
    return None


def _filters(series: Element) -> Iterator[tuple[str, float]]:
    kinds = {f"{_CONTROL}LOW_PASS": "low_pass", f"{_CONTROL}HIGH_PASS": "high_pass", f"{_CONTROL}NOTCH": "notch"}
    for variable in series.findall("controlVariable/controlVariable"):
        name = kinds.get(_code(variable))
        for part in variable.findall("component/controlVariable"):
            value = part.find("value")
            hertz = None if value is None or value.get("unit") != "Hz" else _plain(value.get("value", ""))
            if name and hertz and _code(part) in (f"{_CONTROL}CUTOFF_FREQ", f"{_CONTROL}NOTCH_FREQ"):
                yield name, hertz


def _plain(text: str) -> float | None:
    """Return a metadata string as a number; ``None`` if it is invalid."""
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 10 else None

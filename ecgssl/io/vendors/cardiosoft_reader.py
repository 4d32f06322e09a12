"""GE CardioSoft and CASE XML (``<CardiologyXML>``) to ``Recording``.

The layout is that of the files themselves, as UK Biobank distributes them: no public specification exists.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose, record_id
from ecgssl.io.vendors.sample_text import check_length, parse_integers, same_length
from ecgssl.io.vendors.xml_document import fact_of, number_of, read_xml, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME = "cardiosoft"

_PER_STEP = "perlsb"
_MAINS = {"Filter50Hz": 50.0, "Filter60Hz": 60.0}


def read_cardiosoft(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the ten-second strip (``StripData``), never the median beats and never the full disclosure of an exercise test.

    Args:
        path: the file.
        member: place of a strip, from 1, in a file that holds several.
        overrides: what the file says wrongly.

    Returns:
        The leads in the file's order and spelling: whole numbers x resolution. ``meta`` holds age, sex, device and
        filters in Hz, where the file says so.

    Raises:
        RecordingError: as ``read_xml``, ``choose`` and ``resolve_metadata``; ``header``, ``gain`` (no resolution), ``content``
            (samples that are no whole numbers), ``truncated`` or ``length`` (other counts than declared).
    """
    document = read_xml(path)
    root = document.root
    if root.tag != "CardiologyXML":
        raise read_error("header", path, "root element", "is not CardiologyXML")
    strips = root.findall("StripData")
    medians = sum(1 for _ in root.iter("MedianSamples"))
    strip = strips[choose(path, [_strip(path, one) for one in strips], member, medians)]

    channels = strip.findall("WaveformData")
    check_channels(path, len(channels), number_of(path, strip, "NumberOfLeads"))
    resolved = resolve_metadata(
        path,
        overrides,
        len(channels),
        sampling_rate=_rate(path, strip),
        unit=_unit(strip),
        leads=[channel.get("lead", "").strip() for channel in channels],
    )
    step = number_of(path, strip, "Resolution")
    if not step or step < 0:
        raise read_error("gain", path, "Resolution", "is absent or not positive: the leads are not calibrated")
    declared = number_of(path, strip, "ChannelSampleCountTotal")
    rows = []
    for i, lead in zip(resolved.rows, resolved.leads, strict=True):
        row = parse_integers(path, f"lead {lead}", channels[i].text or "", ",")
        check_length(path, f"lead {lead}", len(row), declared, "samples")
        rows.append(row * step)
    same_length(path, rows)
    meta = _meta(root) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name=NAME, meta=meta)


def _strip(path: Path, element: Element) -> Strip:
    channels = element.findall("WaveformData")
    samples = max(((channel.text or "").count(",") + 1 for channel in channels), default=0)
    return Strip.of((channel.get("lead", "") for channel in channels), samples, _rate(path, element))


def _rate(path: Path, strip: Element) -> float | None:
    rate = strip.find("SampleRate")
    unit = "Hz" if rate is None else rate.get("units", "Hz").strip()
    if unit.casefold() != "hz":
        raise read_error("rate", path, "SampleRate", f"is given in {unit[:10]!r}, not in Hz")
    return number_of(path, strip, "SampleRate")


def _unit(strip: Element) -> str | None:
    """Of ``<Resolution units="uVperLsb">``."""
    resolution = strip.find("Resolution")
    if resolution is None:
        return None
    units = resolution.get("units", "").strip()
    return (units[: -len(_PER_STEP)] if units.casefold().endswith(_PER_STEP) else units) or None


def _meta(root: Element) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    patient = root.find("PatientInfo")
    if patient is not None:
        age = patient.find("Age")
        years = age is not None and age.get("units", "years").strip().casefold() in ("years", "year", "")
        meta |= recording_meta(fact_of(patient, "Age") if years else None, text_of(patient, "Gender"))
    device = text_of(root, "Device-Type")
    if device:
        meta["device"] = device[:40]
    setting = root.find("FilterSetting")
    if setting is not None:
        notch = next((hertz for name, hertz in _MAINS.items() if text_of(setting, name).casefold() == "yes"), None)
        filters = {"high_pass": fact_of(setting, "HighPass"), "low_pass": fact_of(setting, "LowPass"), "notch": notch}
        meta["filters"] = {name: value for name, value in filters.items() if value}
    return meta

"""Reader for GE CardioSoft and CASE XML (``<CardiologyXML>``).

There is no public specification. The layout was derived from files of UK Biobank.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose_strip, record_id
from ecgssl.io.vendors.sample_text import check_length, parse_integers
from ecgssl.io.vendors.xml_document import child_number, child_text, optional_number, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PER_STEP = "perlsb"
_MAINS = {"Filter50Hz": 50.0, "Filter60Hz": 60.0}


def read_cardiosoft(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm strip (``StripData``) of a CardioSoft file.

    Median beats and the full-disclosure recording of exercise tests are not read.

    Args:
        path: path of the file.
        member: number of the strip, from 1, if the file has several.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The leads in mV, in the order and spelling of the file. Values are stored integers x resolution. ``meta``
        contains age, sex, device and filters in Hz, if available.

    Raises:
        RecordingError: reason ``header``, ``gain`` (no resolution), ``content`` (samples are not integers), ``rate``,
            or ``truncated`` or ``length`` (the number of samples differs from the declared one). Errors of
            ``read_xml``, ``choose_strip`` and ``resolve_metadata`` propagate.
    """
    document = read_xml(path, root="CardiologyXML")
    root = document.root
    strips = root.findall("StripData")
    medians = sum(1 for _ in root.iter("MedianSamples"))
    strip = strips[choose_strip(path, [_strip(path, one) for one in strips], member, medians)]

    channels = strip.findall("WaveformData")
    check_channels(path, len(channels), child_number(path, strip, "NumberOfLeads"))
    resolved = resolve_metadata(
        path,
        overrides,
        len(channels),
        sampling_rate=_rate(path, strip),
        unit=_unit(strip),
        leads=[channel.get("lead", "").strip() for channel in channels],
    )
    step = child_number(path, strip, "Resolution")
    if not step or step < 0:
        raise read_error("gain", path, "Resolution", "is absent or not positive, so the leads are not calibrated")
    declared = child_number(path, strip, "ChannelSampleCountTotal")
    rows = []
    for i, lead in zip(resolved.rows, resolved.leads, strict=True):
        row = parse_integers(path, f"lead {lead}", channels[i].text or "", ",")
        check_length(path, f"lead {lead}", len(row), declared, "samples")
        rows.append(row * step)
    meta = _meta(root) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name="cardiosoft", meta=meta)


def _strip(path: Path, element: Element) -> Strip:
    channels = element.findall("WaveformData")
    samples = max(((channel.text or "").count(",") + 1 for channel in channels), default=0)
    return Strip.of((channel.get("lead", "") for channel in channels), samples, _rate(path, element))


def _rate(path: Path, strip: Element) -> float | None:
    rate = strip.find("SampleRate")
    unit = "Hz" if rate is None else rate.get("units", "Hz").strip()
    if unit.casefold() != "hz":
        raise read_error("rate", path, "SampleRate", "is not given in Hz")
    return child_number(path, strip, "SampleRate")


def _unit(strip: Element) -> str | None:
    """Return the unit of the samples, for example ``uV`` from ``<Resolution units="uVperLsb">``; ``None`` if absent."""
    resolution = strip.find("Resolution")
    if resolution is None:
        return None
    units = resolution.get("units", "").strip()
    return (units[: -len(_PER_STEP)] if units.casefold().endswith(_PER_STEP) else units) or None


def _meta(root: Element) -> dict[str, Any]:
    years = sex = filters = None
    patient = root.find("PatientInfo")
    if patient is not None:
        age = patient.find("Age")
        if age is not None and age.get("units", "years").strip().casefold() in ("years", "year", ""):
            years = optional_number(patient, "Age")
        sex = child_text(patient, "Gender")
    setting = root.find("FilterSetting")
    if setting is not None:
        filters = {
            "high_pass": optional_number(setting, "HighPass"),
            "low_pass": optional_number(setting, "LowPass"),
            "notch": next(
                (hertz for name, hertz in _MAINS.items() if child_text(setting, name).casefold() == "yes"), None
            ),
        }
    return recording_meta(years, sex, device=child_text(root, "Device-Type"), filters=filters)

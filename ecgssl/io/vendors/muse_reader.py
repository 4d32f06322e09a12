"""Reader for GE MUSE XML (``<RestingECG>``).

There is no public specification. The layout was derived from exported files. ``LeadDataCRC32`` is the CRC-32 (zlib) of
the stored bytes of a lead; this was confirmed on 16 leads of a real export.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose_strip, record_id
from ecgssl.io.vendors.sample_text import check_length, decode_base64
from ecgssl.io.vendors.xml_document import child_number, child_text, optional_number, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_UNITS = {"MICROVOLTS": "uV", "MILLIVOLTS": "mV"}
_YEARS = {"YEARS": 1.0, "MONTHS": 1 / 12, "WEEKS": 7 / 365.25, "DAYS": 1 / 365.25, "HOURS": 0.0, "": 1.0}


def read_muse(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm strip of a GE MUSE XML file. Median beats are not read.

    Args:
        path: path of the file.
        member: number of the rhythm strip, from 1, if the file has several.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The stored leads in mV, usually I, II and V1 to V6, in the order and spelling of the file.
        ``ecgssl.signal.leads.arrange`` derives the other limb leads. ``meta`` contains age, sex, device, filters in Hz,
        the number of pacing spikes and the leads with detached electrodes, if available.

    Raises:
        RecordingError: reason ``header`` (wrong number of leads, or an invalid value), ``gain``, ``content`` (invalid
            base64), ``truncated`` or ``length`` (the number of samples differs from the declared one), ``checksum`` or
            ``skew`` (leads start at different times). Errors of ``read_xml``, ``choose_strip`` and ``resolve_metadata``
            propagate.
    """
    document = read_xml(path, root="RestingECG")
    waveforms = document.root.findall("Waveform")
    rhythms = [waveform for waveform in waveforms if child_text(waveform, "WaveformType").casefold() == "rhythm"]
    strips = [_strip(path, waveform) for waveform in rhythms]
    waveform = rhythms[choose_strip(path, strips, member, len(waveforms) - len(rhythms))]

    leads = waveform.findall("LeadData")
    check_channels(path, len(leads), child_number(path, waveform, "NumberofLeads"))
    resolved = resolve_metadata(
        path,
        overrides,
        len(leads),
        sampling_rate=_rate(path, waveform),
        unit=[_unit(lead) for lead in leads],
        leads=[child_text(lead, "LeadID") for lead in leads],
    )
    kept = [leads[i] for i in resolved.rows]
    _refuse_skew(path, kept)
    rows = [_samples(path, lead, name) for lead, name in zip(kept, resolved.leads, strict=True)]
    meta = _meta(document.root, waveform, kept, resolved.leads) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name="muse", meta=meta)


def _strip(path: Path, waveform: Element) -> Strip:
    leads = waveform.findall("LeadData")
    samples = max((child_number(path, lead, "LeadSampleCountTotal") or 0.0 for lead in leads), default=0.0)
    return Strip.of((child_text(lead, "LeadID") for lead in leads), samples, _rate(path, waveform))


def _rate(path: Path, waveform: Element) -> float | None:
    base = child_number(path, waveform, "SampleBase")
    exponent = child_number(path, waveform, "SampleExponent") or 0.0
    if base is None:
        return None
    if not (exponent.is_integer() and abs(exponent) <= 6):
        raise read_error("header", path, "SampleExponent", "is not a whole number from -6 to 6")
    return float(base * 10**exponent)


def _unit(lead: Element) -> str | None:
    found = child_text(lead, "LeadAmplitudeUnits")
    return _UNITS.get(found.upper(), found) or None


def _samples(path: Path, lead: Element, name: str) -> NDArray[np.float64]:
    field = f"lead {name}"
    size = child_number(path, lead, "LeadSampleSize")
    if size not in (None, 2.0):
        raise read_error("header", path, field, "its samples do not have 2 bytes")
    units_per_bit = child_number(path, lead, "LeadAmplitudeUnitsPerBit")
    if not units_per_bit or units_per_bit < 0:
        raise read_error(
            "gain", path, field, "LeadAmplitudeUnitsPerBit is absent or not positive, so the lead is not calibrated"
        )
    data = decode_base64(path, field, child_text(lead, "WaveFormData"))
    check_length(path, field, len(data), child_number(path, lead, "LeadByteCountTotal"), "bytes")
    check_length(path, field, len(data) / 2, child_number(path, lead, "LeadSampleCountTotal"), "samples")
    if len(data) % 2:
        raise read_error("truncated", path, field, f"{len(data)} bytes are not a whole number of samples")
    crc = child_number(path, lead, "LeadDataCRC32")
    # a checksum of 0 means "not computed"; some files store the checksum as a signed integer
    if crc and crc % 2**32 != zlib.crc32(data):
        raise read_error("checksum", path, field, "the samples do not match the CRC-32 in the file")
    return np.frombuffer(data, dtype="<i2") * units_per_bit


def _refuse_skew(path: Path, leads: list[Element]) -> None:
    """Raise an error with reason ``skew`` if leads have different time offsets, because their unit is undocumented."""
    for name in ("LeadTimeOffset", "LeadOffsetFirstSample"):
        if len({child_number(path, lead, name) or 0.0 for lead in leads}) > 1:
            raise read_error("skew", path, name, "differs between leads, so they start at different times")


def _meta(root: Element, waveform: Element, leads: list[Element], names: tuple[str, ...]) -> dict[str, Any]:
    years = sex = None
    patient = root.find("PatientDemographics")
    if patient is not None:
        age, unit = optional_number(patient, "PatientAge"), _YEARS.get(child_text(patient, "AgeUnits").upper())
        years = None if age is None or unit is None else age * unit
        sex = child_text(patient, "Gender")
    high_pass = optional_number(waveform, "HighPassFilter")
    filters = {
        # MUSE stores the high-pass cut-off frequency in units of 0.01 Hz
        "high_pass": None if high_pass is None else high_pass / 100,
        "low_pass": optional_number(waveform, "LowPassFilter"),
        "notch": optional_number(waveform, "ACFilter"),
    }
    device = (root.findtext("TestDemographics/AcquisitionDevice") or "").strip()
    meta = recording_meta(years, sex, device=device, filters=filters)
    spikes = sum(1 for _ in root.iter("PaceSpike"))
    if spikes:
        meta["pace_spikes"] = spikes
    off = tuple(name for lead, name in zip(leads, names, strict=True) if child_text(lead, "LeadOff").upper() == "TRUE")
    if off:
        meta["leads_off"] = off
    if any(optional_number(lead, "FirstSampleBaseline") for lead in leads):
        # FirstSampleBaseline is undocumented; the high-pass filter of the preprocessing removes a constant offset
        meta["ignored"] = ("FirstSampleBaseline",)
    return meta

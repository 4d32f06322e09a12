"""GE MUSE XML (``<RestingECG>``) to ``Recording``.

The layout is that of the files themselves: no public specification exists. ``LeadDataCRC32`` is the CRC-32 of zlib and
Ethernet over the bytes of a lead as stored, which all 16 leads of a real export confirm.
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
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose, record_id
from ecgssl.io.vendors.sample_text import check_length, decode_base64, same_length
from ecgssl.io.vendors.xml_document import fact_of, number_of, read_xml, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME = "muse"

_UNITS = {"MICROVOLTS": "uV", "MILLIVOLTS": "mV"}
_YEARS = {"YEARS": 1.0, "MONTHS": 1 / 12, "WEEKS": 7 / 365.25, "DAYS": 1 / 365.25, "HOURS": 0.0, "": 1.0}


def read_muse(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm strip of a MUSE export, never its median beat.

    Args:
        path: the file.
        member: place of a rhythm strip, from 1, in a file that holds several.
        overrides: what the file says wrongly.

    Returns:
        The leads that are stored, usually I, II and V1 to V6, in the file's order and spelling; the other limb leads
        follow from them (``ecgssl.signal.leads.arrange``). ``meta`` holds age, sex, device, filters in Hz, the number
        of pacing spikes and electrodes that were off, where the file says so.

    Raises:
        RecordingError: as ``read_xml``, ``choose`` and ``resolve_metadata``; ``header`` (other leads than announced, a number
            that is none), ``gain``, ``content`` or ``truncated`` (base64), ``truncated`` or ``length`` (other counts than
            declared), ``checksum``, ``skew`` (leads that begin at different times).
    """
    document = read_xml(path)
    if document.root.tag != "RestingECG":
        raise read_error("header", path, "root element", "is not RestingECG")
    waveforms = document.root.findall("Waveform")
    rhythms = [waveform for waveform in waveforms if text_of(waveform, "WaveformType").casefold() == "rhythm"]
    strips = [_strip(path, waveform) for waveform in rhythms]
    waveform = rhythms[choose(path, strips, member, len(waveforms) - len(rhythms))]

    leads = waveform.findall("LeadData")
    check_channels(path, len(leads), number_of(path, waveform, "NumberofLeads"))
    resolved = resolve_metadata(
        path,
        overrides,
        len(leads),
        sampling_rate=_rate(path, waveform),
        unit=[_unit(lead) for lead in leads],
        leads=[text_of(lead, "LeadID") for lead in leads],
    )
    kept = [leads[i] for i in resolved.rows]
    _refuse_skew(path, kept)
    rows = [_samples(path, lead, name) for lead, name in zip(kept, resolved.leads, strict=True)]
    same_length(path, rows)
    meta = _meta(path, document.root, waveform, kept) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name=NAME, meta=meta)


def _strip(path: Path, waveform: Element) -> Strip:
    leads = waveform.findall("LeadData")
    samples = max((number_of(path, lead, "LeadSampleCountTotal") or 0.0 for lead in leads), default=0.0)
    return Strip.of((text_of(lead, "LeadID") for lead in leads), samples, _rate(path, waveform))


def _rate(path: Path, waveform: Element) -> float | None:
    base = number_of(path, waveform, "SampleBase")
    exponent = number_of(path, waveform, "SampleExponent") or 0.0
    if base is None:
        return None
    if not (exponent.is_integer() and abs(exponent) <= 6):
        raise read_error("header", path, "SampleExponent", f"{exponent:g} is no small whole number")
    return float(base * 10**exponent)


def _unit(lead: Element) -> str | None:
    found = text_of(lead, "LeadAmplitudeUnits")
    return _UNITS.get(found.upper(), found) or None


def _samples(path: Path, lead: Element, name: str) -> NDArray[np.float64]:
    field = f"lead {name}"
    size = number_of(path, lead, "LeadSampleSize")
    if size not in (None, 2.0):
        raise read_error("header", path, field, f"samples of {size:g} bytes, MUSE stores 2")
    units_per_bit = number_of(path, lead, "LeadAmplitudeUnitsPerBit")
    if not units_per_bit or units_per_bit < 0:
        raise read_error(
            "gain", path, field, "LeadAmplitudeUnitsPerBit is absent or not positive: it is not calibrated"
        )
    data = decode_base64(path, field, text_of(lead, "WaveFormData"))
    check_length(path, field, len(data), number_of(path, lead, "LeadByteCountTotal"), "bytes")
    check_length(path, field, len(data) / 2, number_of(path, lead, "LeadSampleCountTotal"), "samples")
    if len(data) % 2:
        raise read_error("truncated", path, field, f"{len(data)} bytes are no whole number of samples")
    crc = number_of(path, lead, "LeadDataCRC32")
    # 0 stands for "not computed"; some exports write it as a signed number
    if crc and crc % 2**32 != zlib.crc32(data):
        raise read_error("checksum", path, field, "the samples do not give the CRC-32 in the file")
    return np.frombuffer(data, dtype="<i2") * units_per_bit


def _refuse_skew(path: Path, leads: list[Element]) -> None:
    """What these offsets count is written nowhere; equal ones change nothing."""
    for name in ("LeadTimeOffset", "LeadOffsetFirstSample"):
        if len({number_of(path, lead, name) or 0.0 for lead in leads}) > 1:
            raise read_error("skew", path, name, "differs between leads: they were not recorded at the same time")


def _meta(path: Path, root: Element, waveform: Element, leads: list[Element]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    patient = root.find("PatientDemographics")
    if patient is not None:
        age, unit = fact_of(patient, "PatientAge"), _YEARS.get(text_of(patient, "AgeUnits").upper())
        meta |= recording_meta(None if age is None or unit is None else age * unit, text_of(patient, "Gender"))
    test = root.find("TestDemographics")
    if test is not None and text_of(test, "AcquisitionDevice"):
        meta["device"] = text_of(test, "AcquisitionDevice")[:40]
    high_pass = fact_of(waveform, "HighPassFilter")
    filters = {
        # hundredths of a hertz
        "high_pass": None if high_pass is None else high_pass / 100,
        "low_pass": fact_of(waveform, "LowPassFilter"),
        "notch": fact_of(waveform, "ACFilter"),
    }
    meta |= {"filters": {name: value for name, value in filters.items() if value}}
    spikes = sum(1 for _ in root.iter("PaceSpike"))
    if spikes:
        meta["pace_spikes"] = spikes
    off = tuple(text_of(lead, "LeadID") for lead in leads if text_of(lead, "LeadOff").upper() == "TRUE")
    if off:
        meta["leads_off"] = off
    if any(fact_of(lead, "FirstSampleBaseline") for lead in leads):
        # nobody says what it means, and a constant offset does not survive the high-pass
        meta["ignored"] = ("FirstSampleBaseline",)
    return meta

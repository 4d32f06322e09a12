"""Reader for Schiller SEMA XML (``<com.xiriuz.sema.xml.schillerEDI.SchillerEDI>``).

There is no public specification. The layout was taken from a file of an AT-110 (SEMA 2.64) and from open-source readers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose_strip, record_id
from ecgssl.io.vendors.sample_text import check_length, parse_integers
from ecgssl.io.vendors.xml_document import child_number, child_text, parse_number, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROOT = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"

_RHYTHM = ("ECG_RHYTHM", "ECG_RHYTHMS")


def read_schiller(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm leads (``ECG_RHYTHMS``) of a Schiller file. Averaged beats (``ECG_AVERAGES``) are not read.

    Args:
        path: path of the file.
        member: number of the rhythm waveform, from 1, if the file has several.
        overrides: metadata that replace missing or wrong values of the file.

    Returns:
        The leads in mV, in the order and spelling of the file. Values are stored integers x ``yres``. ``meta`` contains
        sex and device, if available.

    Raises:
        RecordingError: reason ``header`` (samples are not comma-separated), ``gain`` (no resolution), ``content``,
            ``rate``, ``truncated`` or ``length`` (not the declared number of samples, or leads of different lengths).
            Errors of ``read_xml``, ``choose_strip`` and ``resolve_metadata`` propagate.
    """
    document = read_xml(path, root=ROOT)
    root = document.root
    blocks = root.findall("eventdata/event/wavedata")
    rhythms = [block for block in blocks if child_text(block, "type").upper() in _RHYTHM]
    strips = [_strip(path, block) for block in rhythms]
    block = rhythms[choose_strip(path, strips, member, len(blocks) - len(rhythms))]

    channels = block.findall("channel")
    check_channels(path, len(channels))
    resolution, unit = _quantity(block, "yres")
    resolved = resolve_metadata(
        path,
        overrides,
        len(channels),
        sampling_rate=_rate(path, block),
        unit=unit,
        leads=[child_text(channel, "name") for channel in channels],
    )
    step = parse_number(path, "yres", resolution)
    if not step or step < 0:
        raise read_error("gain", path, "yres", "is absent or not positive, so the leads are not calibrated")
    rows = []
    for i, lead in zip(resolved.rows, resolved.leads, strict=True):
        form = child_text(channels[i], "datastype").upper()
        if form not in ("", "COMMASEPARATE"):
            raise read_error("header", path, f"lead {lead}", "its samples are not comma-separated")
        row = parse_integers(path, f"lead {lead}", child_text(channels[i], "data"), ",")
        check_length(path, f"lead {lead}", len(row), child_number(path, channels[i], "samplecount"), "samples")
        rows.append(row * step)
    meta = _meta(root) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name="schiller", meta=meta)


def _strip(path: Path, block: Element) -> Strip:
    channels = block.findall("channel")
    samples = max((child_text(channel, "data").rstrip(",").count(",") + 1 for channel in channels), default=0)
    return Strip.of((child_text(channel, "name") for channel in channels), samples, _rate(path, block))


def _rate(path: Path, block: Element) -> float | None:
    value, unit = _quantity(block, "samplerate")
    if (unit or "Hz").casefold() != "hz":
        raise read_error("rate", path, "samplerate", "is not given in Hz")
    exponent = block.find("resolution/samplerate/exponent")
    # an AT-110 writes exponent 1 and value 500 for 500 Hz; the meaning of other exponents is unknown
    if exponent is not None and parse_number(path, "samplerate: exponent", exponent.text) not in (None, 1.0):
        return None
    return parse_number(path, "samplerate", value)


def _quantity(block: Element, name: str) -> tuple[str, str | None]:
    """Return the value and unit of a child of the element ``resolution``, for example ``yres``.

    The value is an empty string and the unit is ``None`` if absent.

    Devices write them in elements (``unitperbit`` or ``value``, ``units`` or ``unit``), as text, or in attributes.
    """
    found = block.find(f"resolution/{name}")
    if found is None:
        return "", None
    values = [child_text(found, tag) for tag in ("value", "unitperbit")]
    units = [*(child_text(found, tag) for tag in ("units", "unit")), found.get("units", ""), found.get("unit", "")]
    texts = [*values, (found.text or "").strip(), found.get("value", "").strip()]
    return next(filter(None, texts), ""), next(filter(None, map(str.strip, units)), None)


def _meta(root: Element) -> dict[str, Any]:
    return recording_meta(
        None,
        root.findtext("patdata/gender"),
        device=(root.findtext("examdescript/aquiringdevice/hardware/model") or "").strip(),
    )

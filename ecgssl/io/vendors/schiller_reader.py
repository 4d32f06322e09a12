"""Schiller SEMA XML (``<com.xiriuz.sema.xml.schillerEDI.SchillerEDI>``) to ``Recording``.

The layout is that of the files as their open readers describe it: no public specification exists, and no real file was
at hand to check it against.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, recording_meta, resolve_metadata
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.vendors.choose_strip import Strip, check_channels, choose, record_id
from ecgssl.io.vendors.sample_text import parse_integers, same_length
from ecgssl.io.vendors.xml_document import parse_number, read_xml, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME = "schiller"

ROOT = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"

_RHYTHM = ("ECG_RHYTHM", "ECG_RHYTHMS")


def read_schiller(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read the rhythm leads (``ECG_RHYTHMS``), never the averaged beats (``ECG_AVERAGES``).

    Args:
        path: the file.
        member: place of a block of rhythm leads, from 1, in a file that holds several.
        overrides: what the file says wrongly, or leaves open.

    Returns:
        The leads in the file's order and spelling: whole numbers x ``yres``. ``meta`` holds sex and device, where the
        file says so.

    Raises:
        RecordingError: as ``read_xml``, ``choose`` and ``resolve_metadata``; ``header`` (samples in another form than comma
            separated), ``gain`` (no resolution), ``content``, ``length`` (leads of different lengths).
    """
    document = read_xml(path)
    root = document.root
    if root.tag != ROOT:
        raise read_error("header", path, "root element", "is not that of Schiller EDI")
    blocks = root.findall("eventdata/event/wavedata")
    rhythms = [block for block in blocks if text_of(block, "type").upper() in _RHYTHM]
    strips = [_strip(path, block) for block in rhythms]
    block = rhythms[choose(path, strips, member, len(blocks) - len(rhythms))]

    channels = block.findall("channel")
    check_channels(path, len(channels))
    resolved = resolve_metadata(
        path,
        overrides,
        len(channels),
        sampling_rate=_rate(path, block),
        unit=_quantity(block, "yres")[1],
        leads=[text_of(channel, "name") for channel in channels],
    )
    step = parse_number(path, "yres", _quantity(block, "yres")[0])
    if not step or step < 0:
        raise read_error("gain", path, "yres", "is absent or not positive: the leads are not calibrated")
    rows = []
    for i, lead in zip(resolved.rows, resolved.leads, strict=True):
        form = text_of(channels[i], "datastype").upper()
        if form not in ("", "COMMASEPARATE"):
            raise read_error("header", path, f"lead {lead}", f"its samples are {form[:20]!r}, not comma separated")
        rows.append(step * parse_integers(path, f"lead {lead}", text_of(channels[i], "data"), ","))
    same_length(path, rows)
    meta = _meta(root) | document.meta
    return build_recording(path, resolved, rows, record_id=record_id(path, member), name=NAME, meta=meta)


def _strip(path: Path, block: Element) -> Strip:
    channels = block.findall("channel")
    samples = max((text_of(channel, "data").rstrip(",").count(",") + 1 for channel in channels), default=0)
    return Strip.of((text_of(channel, "name") for channel in channels), samples, _rate(path, block))


def _rate(path: Path, block: Element) -> float | None:
    value, unit = _quantity(block, "samplerate")
    if (unit or "Hz").casefold() != "hz":
        raise read_error("rate", path, "samplerate", f"is given in {(unit or '')[:10]!r}, not in Hz")
    return parse_number(path, "samplerate", value)


def _quantity(block: Element, name: str) -> tuple[str, str | None]:
    """Value and unit of an entry of ``resolution``, which has both as elements within it."""
    found = block.find(f"resolution/{name}")
    if found is None:
        return "", None
    return text_of(found, "value") or (found.text or "").strip(), text_of(found, "units") or None


def _meta(root: Element) -> dict[str, Any]:
    patient = root.find("patdata")
    meta: dict[str, Any] = {} if patient is None else recording_meta(None, text_of(patient, "gender"))
    model = (root.findtext("examdescript/aquiringdevice/hardware/model") or "").strip()
    return meta | ({"device": model[:40]} if model else {})

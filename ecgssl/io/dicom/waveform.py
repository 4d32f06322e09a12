"""Parser for the waveform multiplex groups of a DICOM file (DICOM PS3.3, C.10.9 "Waveform Module")."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import parser_errors, read_error
from ecgssl.io.vendors.choose_strip import MOST_CHANNELS

UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Uncompressed transfer syntaxes: implicit and explicit little endian, explicit big endian."""

MOST_ITEMS = 30_000
"""Largest number of sequence items per file; a typical file with 77 annotations has 330."""

MOST_READS = 300_000
"""Largest number of read calls per file; a typical file with 77 annotations needs 3,600."""

_LONGEST = 1024
"""Largest size of a numeric or text element in bytes; damaged files could otherwise yield millions of values."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_WAVEFORM_CLASSES = "1.2.840.10008.5.1.4.1.1.9."
_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_KEYWORDS = (
    "SOPClassUID",
    "SpecificCharacterSet",
    "ManufacturerModelName",
    "PatientAge",
    "PatientSex",
    "WaveformSequence",
)
"""DICOM elements that are read; names, dates and identifiers of the patient are not read."""

_BEATS = ("median", "average", "beat", "template", "represent")


@dataclass(frozen=True)
class Channel:
    """Definition of one channel of a multiplex group.

    Args:
        code, meaning: code value and code meaning of the lead.
        unit: UCUM code of the unit of the sensitivity; ``None`` if absent.
        sensitivity: size of one digital step in ``unit``; ``None`` if absent.
        correction: correction factor of the sensitivity.
        baseline: offset added to the scaled samples, in ``unit``.
        sample_skew, time_skew: delay of the channel in samples and in s.
        filters: cut-off frequencies high_pass, low_pass and notch in Hz, if present.
    """

    code: str
    meaning: str
    unit: str | None
    sensitivity: float | None
    correction: float
    baseline: float
    sample_skew: float
    time_skew: float
    filters: dict[str, float]


@dataclass(frozen=True)
class Group:
    """Multiplex group: channels that were sampled simultaneously.

    Args:
        rhythm: whether the group is a rhythm recording, not a median beat or another derived waveform.
        declared, samples: declared number of channels and of samples per channel; ``None`` if absent.
        sampling_rate: sampling rate in Hz; ``None`` if absent.
        bits, interpretation: size of a sample in bits and DICOM code of its type, for example 16 and ``SS``.
        padding: padding value (marks missing samples) as bytes; empty if absent.
        data: raw samples, interleaved by channel.
        channels: channels in the order of the samples.
    """

    rhythm: bool
    declared: int | None
    samples: int | None
    sampling_rate: float | None
    bits: int | None
    interpretation: str
    padding: bytes
    data: bytes
    channels: tuple[Channel, ...]


@dataclass(frozen=True)
class Waveforms:
    """Waveforms and metadata of a DICOM file.

    Args:
        groups: multiplex groups in the order of the file; empty if there is no waveform.
        little_endian: whether the samples are little endian.
        model: name of the device model.
        age, sex: values as written in the file, for example ``042Y`` and ``F``.
        preamble: whether the file starts with the preamble that the standard requires.
    """

    groups: tuple[Group, ...]
    little_endian: bool
    model: str
    age: str
    sex: str
    preamble: bool


def read_waveforms(path: Path, data: bytes) -> Waveforms:
    """Return the waveforms of a DICOM file with or without preamble.

    Args:
        path: file name for messages.
        data: content of the file.

    Raises:
        RecordingError: reason ``compressed``, ``no_leads`` (the file contains a PDF), ``header`` (an element is too
            long, or there are too many items or read calls), ``truncated`` or ``unreadable`` (pydicom cannot parse the file).
    """
    import pydicom

    budget = _Budget(path)
    # pydicom decompresses deflated files without a size limit
    if _DEFLATED in data:
        raise _compressed(path, "deflated")
    if sum(map(data.count, _ITEMS)) > MOST_ITEMS:
        raise read_error("header", path, "sequences", f"have more than {MOST_ITEMS} items")
    with parser_errors(path, "pydicom"), _unlogged(), pydicom.config.disable_value_validation():
        try:
            dataset = pydicom.dcmread(_LimitedReader(data, budget), force=True, specific_tags=list(_KEYWORDS))
        except (EOFError, OSError):
            # the data are in memory, so this error means that pydicom read beyond the end of the file
            raise read_error("truncated", path, "content", "an element ends beyond the end of the file") from None
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "")
        implicit_little = dataset.original_encoding
        root = _Item(path, dataset, budget)
        sop_class = root.text("SOPClassUID")
        # the waveforms of compressed files cannot be parsed; the error is raised below
        groups = tuple(map(_group, root.items("WaveformSequence"))) if syntax in ("", *UNCOMPRESSED) else ()
        found = Waveforms(
            groups=groups,
            little_endian=implicit_little[1] is not False,
            model=root.text("ManufacturerModelName"),
            age=root.text("PatientAge"),
            sex=root.text("PatientSex"),
            preamble=data[128:132] == b"DICM",
        )
    if syntax not in ("", *UNCOMPRESSED):
        raise _compressed(path, "compressed")
    if sop_class.startswith(_WAVEFORM_CLASSES) and not groups:
        # pydicom raises no error for some truncated files
        raise read_error(
            "truncated", path, "content", "has no waveform although its class requires one: the file is cut off"
        )
    if sop_class == _PDF:
        raise read_error("no_leads", path, "content", "is a PDF without samples", "Export the waveform")
    return found


@contextmanager
def _unlogged() -> Iterator[None]:
    """Disable logging of pydicom, because its messages quote invalid values, which can be patient data."""
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


class _Budget:
    """Counter that limits the number of read calls for a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, MOST_READS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise read_error("header", self.path, "content", f"needs more than {MOST_READS} read calls")


class _LimitedReader(io.BytesIO):
    """In-memory file with a limited number of read calls."""

    def __init__(self, data: bytes, budget: _Budget) -> None:
        super().__init__(data)
        self._budget = budget

    def read(self, size: int | None = -1, /) -> bytes:
        self._budget.spend()
        return super().read(size)


class _Item:
    """DICOM data set whose elements are parsed on access, after their size has been checked."""

    def __init__(self, path: Path, dataset: Any, budget: _Budget) -> None:
        self.path, self.dataset, self.budget = path, dataset, budget

    def value(self, keyword: str) -> Any:
        """Return the value of a numeric or text element; ``None`` if the element is absent."""
        element = self.dataset.get_item(keyword)
        # pydicom stores the value as bytes until it is parsed
        if element is not None and isinstance(element.value, bytes) and len(element.value) > _LONGEST:
            raise read_error("header", self.path, keyword, f"has {len(element.value)} bytes, more than {_LONGEST}")
        return self.dataset.get(keyword)

    def text(self, keyword: str) -> str:
        value = self.value(keyword)
        return "" if value is None else str(value).strip()

    def number(self, keyword: str) -> float | None:
        value = self.value(keyword)
        return None if value is None or value == "" else float(value)

    def whole(self, keyword: str) -> int | None:
        value = self.value(keyword)
        return None if value is None or value == "" else int(value)

    def data(self, keyword: str) -> bytes:
        return bytes(self.dataset.get(keyword) or b"")

    def items(self, keyword: str) -> list[_Item]:
        """Return the items of a sequence, parsed with a limited number of read calls; pydicom sets no limit."""
        from pydicom.filereader import read_sequence

        element = self.dataset.get_item(keyword)
        found = None if element is None else element.value
        if isinstance(found, bytes):
            source = _LimitedReader(found, self.budget)
            encoding = self.dataset.original_character_set or "iso8859"
            found = read_sequence(source, element.is_implicit_VR, element.is_little_endian, len(found), encoding)
        items = list(found or ())
        if len(items) > MOST_CHANNELS:
            raise read_error("header", self.path, keyword, f"has {len(items)} items, more than {MOST_CHANNELS}")
        return [_Item(self.path, item, self.budget) for item in items]


def _group(item: _Item) -> Group:
    label = item.text("MultiplexGroupLabel").casefold()
    derived = item.text("WaveformOriginality").upper() == "DERIVED" and "rhythm" not in label
    return Group(
        rhythm=not derived and not any(word in label for word in _BEATS),
        declared=item.whole("NumberOfWaveformChannels"),
        samples=item.whole("NumberOfWaveformSamples"),
        sampling_rate=item.number("SamplingFrequency"),
        bits=item.whole("WaveformBitsAllocated"),
        interpretation=item.text("WaveformSampleInterpretation").upper(),
        padding=item.data("WaveformPaddingValue"),
        data=item.data("WaveformData"),
        channels=tuple(map(_channel, item.items("ChannelDefinitionSequence"))),
    )


def _channel(item: _Item) -> Channel:
    source = next(iter(item.items("ChannelSourceSequence")), None)
    units = next(iter(item.items("ChannelSensitivityUnitsSequence")), None)
    correction = item.number("ChannelSensitivityCorrectionFactor")
    filters = {
        "high_pass": item.number("FilterLowFrequency"),
        "low_pass": item.number("FilterHighFrequency"),
        "notch": item.number("NotchFilterFrequency"),
    }
    return Channel(
        code=source.text("CodeValue") if source else "",
        meaning=(source.text("CodeMeaning") if source else "") or item.text("ChannelLabel"),
        unit=(units.text("CodeValue") if units else "") or None,
        sensitivity=item.number("ChannelSensitivity"),
        correction=1.0 if correction is None else correction,
        baseline=item.number("ChannelBaseline") or 0.0,
        sample_skew=item.number("ChannelSampleSkew") or 0.0,
        time_skew=item.number("ChannelTimeSkew") or 0.0,
        filters={name: value for name, value in filters.items() if value},
    )


def _compressed(path: Path, how: str) -> RecordingError:
    fix = "Export the file uncompressed, explicit little endian"
    return read_error("compressed", path, "transfer syntax", f"is {how}", fix)

"""The multiplex groups of a DICOM file as plain values; after DICOM PS3.3, section C.10.9 "Waveform Module"."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.read_errors import parser_errors, read_error
from ecgssl.io.vendors.choose_strip import MOST_CHANNELS

PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes without compression: implicit and explicit little endian, explicit big endian."""

MOST_ITEMS = 30_000
"""Items of sequences; a file with a median beat and 77 annotations has 330."""

MOST_READS = 300_000
"""Times that a file is read from; an element takes one or two, whatever it holds. That file takes 3,600."""

_LONGEST = 1024
"""Bytes of a number or text; one that ends nowhere would become millions of them."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_WAVEFORM_CLASSES = "1.2.840.10008.5.1.4.1.1.9."
_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_WANTED = (
    "SOPClassUID",
    "SpecificCharacterSet",
    "ManufacturerModelName",
    "PatientAge",
    "PatientSex",
    "WaveformSequence",
)
"""All that is read of a file; names, dates and identifiers are not even looked at."""

_BEATS = ("median", "average", "beat", "template", "represent")


@dataclass(frozen=True)
class Channel:
    """Definition of one channel.

    Args:
        code, meaning: of its source, which is the lead.
        unit: of the sensitivity, as UCUM spells it; ``None`` where absent.
        sensitivity: units per step of the samples; ``None`` where absent.
        correction: factor on the sensitivity.
        baseline: value of sample 0, in units.
        sample_skew, time_skew: by which it lags, in samples and in seconds.
        filters: high_pass, low_pass and notch in Hz, those that are stated.
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
    """One multiplex group: channels sampled together.

    Args:
        rhythm: whether it is a recording, and not a median beat or another derived waveform.
        announced, samples: how many channels there are, of how many samples; ``None`` where absent.
        sampling_rate: Hz; ``None`` where absent.
        bits, interpretation: of one sample, for example 16 and ``SS``.
        padding: bytes of the sample that stands for "no value"; empty where absent.
        data: the samples, channels interleaved.
        channels: in the order of the samples.
    """

    rhythm: bool
    announced: int | None
    samples: int | None
    sampling_rate: float | None
    bits: int | None
    interpretation: str
    padding: bytes
    data: bytes
    channels: tuple[Channel, ...]


@dataclass(frozen=True)
class Waveforms:
    """What is read of a file.

    Args:
        groups: in the file's order; none where it holds no waveform.
        little_endian: byte order of the samples.
        model: of the device.
        age, sex: as spelled, for example ``042Y`` and ``F``.
        preamble: whether the file begins as the standard asks.
    """

    groups: tuple[Group, ...]
    little_endian: bool
    model: str
    age: str
    sex: str
    preamble: bool


def read_waveforms(path: Path, data: bytes) -> Waveforms:
    """Take the waveforms out of the content of a DICOM file, also of one without preamble.

    Args:
        path: names the file in messages.
        data: its content.

    Raises:
        RecordingError: ``compressed``, ``no_leads`` (a PDF), ``header`` (too many items or elements, or a value that is
            too long), ``truncated``, or ``unreadable`` for whatever pydicom cannot read.
    """
    import pydicom

    budget = _Budget(path)

    # it would be inflated to any size before it could be asked
    if _DEFLATED in data:
        raise _compressed(path, "deflated")
    if sum(map(data.count, _ITEMS)) > MOST_ITEMS:
        raise read_error("header", path, "sequences", f"have more than {MOST_ITEMS} items")
    with parser_errors(path, "pydicom"), _unlogged(), pydicom.config.disable_value_validation():
        try:
            dataset = pydicom.dcmread(_Counted(data, budget), force=True, specific_tags=list(_WANTED))
        except (EOFError, OSError):
            # nothing was read from a disk here: pydicom met the end of the data
            raise read_error("truncated", path, "content", "an element ends beyond the file") from None
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "")
        implicit_little = dataset.original_encoding
        root = _Item(path, dataset, budget)
        sop_class = root.text("SOPClassUID")
        # only plain syntaxes say how their elements are to be read
        groups = tuple(map(_group, root.items("WaveformSequence"))) if syntax in ("", *PLAIN) else ()
        found = Waveforms(
            groups=groups,
            little_endian=implicit_little[1] is not False,
            model=root.text("ManufacturerModelName"),
            age=root.text("PatientAge"),
            sex=root.text("PatientSex"),
            preamble=data[128:132] == b"DICM",
        )
    if syntax not in ("", *PLAIN):
        raise _compressed(path, "compressed")
    if sop_class.startswith(_WAVEFORM_CLASSES) and not groups:
        # pydicom ends quietly where a file does
        raise read_error("truncated", path, "content", "should hold a waveform and does not: the file is cut off")
    if sop_class == _PDF:
        remedy = "Export the waveform; a printed ECG needs a digitiser, which ecgssl is not"
        raise RecordingError("no_leads", Problem(str(path), "content", "is a PDF, without samples", remedy))
    return found


@contextmanager
def _unlogged() -> Iterator[None]:
    """Without the log of pydicom, which repeats values that do not fit their kind."""
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


class _Budget:
    """How often a file may still be read from."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, MOST_READS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise read_error("header", self.path, "content", f"has more than {MOST_READS} elements or parts of them")


class _Counted(io.BytesIO):
    """Bytes that can be read from only so often."""

    def __init__(self, data: bytes, budget: _Budget) -> None:
        super().__init__(data)
        self._budget = budget

    def read(self, size: int | None = -1, /) -> bytes:
        self._budget.spend()
        return super().read(size)


class _Item:
    """A data set whose values are made of bytes only when asked for, and only where they are of a sane size."""

    def __init__(self, path: Path, dataset: Any, budget: _Budget) -> None:
        self.path, self.dataset, self.budget = path, dataset, budget

    def value(self, keyword: str) -> Any:
        """Of an element that is no sequence; ``None`` where it is absent."""
        element = self.dataset.get_item(keyword)
        # bytes until it is unpacked
        if element is not None and isinstance(element.value, bytes) and len(element.value) > _LONGEST:
            raise read_error("header", self.path, keyword, f"of {len(element.value)} bytes is too long")
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
        """Of a sequence; pydicom would unpack it without counting."""
        from pydicom.filereader import read_sequence

        element = self.dataset.get_item(keyword)
        found = None if element is None else element.value
        if isinstance(found, bytes):
            source = _Counted(found, self.budget)
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
        announced=item.whole("NumberOfWaveformChannels"),
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
    problem = Problem(str(path), "transfer syntax", f"is {how}", "Export the file uncompressed, explicit little endian")
    return RecordingError("compressed", problem)

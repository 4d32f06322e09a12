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
from ecgssl.io.fault import fault
from ecgssl.io.guard import guarded

PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes without compression: implicit and explicit little endian, explicit big endian."""

MOST_ITEMS = 100_000
"""Items of sequences; a file with a median beat and 77 annotations has 330."""

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
        RecordingError: ``compressed``, ``no_leads`` (a PDF), ``header`` (too many items), ``truncated``, or
            ``unreadable`` for whatever pydicom cannot read.
    """
    import pydicom

    # it would be inflated to any size before it could be asked
    if _DEFLATED in data:
        raise _compressed(path, "deflated")
    if sum(map(data.count, _ITEMS)) > MOST_ITEMS:
        raise fault("header", path, "sequences", f"have more than {MOST_ITEMS} items")
    with guarded(path, "pydicom"), _unlogged(), pydicom.config.disable_value_validation():
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=list(_WANTED))
        except (EOFError, OSError):
            # nothing was read from a disk here: pydicom met the end of the data
            raise fault("truncated", path, "content", "an element ends beyond the file") from None
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "")
        implicit_little = dataset.original_encoding
        sop_class = _text(dataset, "SOPClassUID")
        # only plain syntaxes say how their elements are to be read
        groups = tuple(map(_group, dataset.get("WaveformSequence") or ())) if syntax in ("", *PLAIN) else ()
        found = Waveforms(
            groups=groups,
            little_endian=implicit_little[1] is not False,
            model=_text(dataset, "ManufacturerModelName"),
            age=_text(dataset, "PatientAge"),
            sex=_text(dataset, "PatientSex"),
            preamble=data[128:132] == b"DICM",
        )
    if syntax not in ("", *PLAIN):
        raise _compressed(path, "compressed")
    if sop_class.startswith(_WAVEFORM_CLASSES) and not groups:
        # pydicom ends quietly where a file does
        raise fault("truncated", path, "content", "should hold a waveform and does not: the file is cut off")
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


def _group(item: Any) -> Group:
    label = _text(item, "MultiplexGroupLabel").casefold()
    derived = _text(item, "WaveformOriginality").upper() == "DERIVED" and "rhythm" not in label
    return Group(
        rhythm=not derived and not any(word in label for word in _BEATS),
        announced=_whole(item, "NumberOfWaveformChannels"),
        samples=_whole(item, "NumberOfWaveformSamples"),
        sampling_rate=_number(item, "SamplingFrequency"),
        bits=_whole(item, "WaveformBitsAllocated"),
        interpretation=_text(item, "WaveformSampleInterpretation").upper(),
        padding=bytes(item.get("WaveformPaddingValue") or b""),
        data=bytes(item.get("WaveformData") or b""),
        channels=tuple(_channel(channel) for channel in item.get("ChannelDefinitionSequence") or ()),
    )


def _channel(item: Any) -> Channel:
    source = (item.get("ChannelSourceSequence") or [{}])[0]
    units = (item.get("ChannelSensitivityUnitsSequence") or [{}])[0]
    correction = _number(item, "ChannelSensitivityCorrectionFactor")
    filters = {
        "high_pass": _number(item, "FilterLowFrequency"),
        "low_pass": _number(item, "FilterHighFrequency"),
        "notch": _number(item, "NotchFilterFrequency"),
    }
    return Channel(
        code=_text(source, "CodeValue"),
        meaning=_text(source, "CodeMeaning") or _text(item, "ChannelLabel"),
        unit=_text(units, "CodeValue") or None,
        sensitivity=_number(item, "ChannelSensitivity"),
        correction=1.0 if correction is None else correction,
        baseline=_number(item, "ChannelBaseline") or 0.0,
        sample_skew=_number(item, "ChannelSampleSkew") or 0.0,
        time_skew=_number(item, "ChannelTimeSkew") or 0.0,
        filters={name: value for name, value in filters.items() if value},
    )


def _text(item: Any, keyword: str) -> str:
    value = item.get(keyword)
    return "" if value is None else str(value).strip()


def _number(item: Any, keyword: str) -> float | None:
    value = item.get(keyword)
    return None if value is None or value == "" else float(value)


def _whole(item: Any, keyword: str) -> int | None:
    value = item.get(keyword)
    return None if value is None or value == "" else int(value)


def _compressed(path: Path, how: str) -> RecordingError:
    problem = Problem(str(path), "transfer syntax", f"is {how}", "Export the file uncompressed, explicit little endian")
    return RecordingError("compressed", problem)

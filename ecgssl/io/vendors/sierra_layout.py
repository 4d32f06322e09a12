"""Length checks for Philips Sierra XML, before ecgdatakit decompresses the leads.

XLI compresses the high and low bytes of the second differences with LZW (10-bit codes), one chunk per channel. One LZW
code can expand to hundreds of bytes, so the decompressed length is computed before decompression.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import read_error
from ecgssl.io.size_limits import check_size
from ecgssl.io.vendors.choose_strip import MOST_CHANNELS, check_channels
from ecgssl.io.vendors.sample_text import check_length, count_words, decode_base64
from ecgssl.io.vendors.xml_document import parse_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_HEADER = 8
_CODE_BITS = 10
_LAST_CODE = (1 << _CODE_BITS) - 2
_SPARE = 4
"""Largest number of extra bytes decoded from the padding bits at the end of a chunk."""


def count_channels(path: Path, root: Element) -> int:
    """Check the lengths of the channels of the rhythm waveform, and return the number of channels.

    Args:
        path: file name for messages.
        root: root element ``restingecgdata``.

    Raises:
        RecordingError: reason ``header``, ``rate``, ``too_large``, ``content`` (invalid base64 or LZW), ``truncated``
            or ``length`` (differs from the declared length) or ``compressed`` (other method than XLI).
    """
    found = list(root.iter("parsedwaveforms"))
    if len(found) != 1:
        raise _error("header", path, f"the file has {len(found)} elements of this name, but one is expected")
    waveform = found[0]
    _check_declared(path, root, waveform)
    samples = _samples(path, root, waveform)
    text = waveform.text or ""
    method = (waveform.get("compression") or waveform.get("compressmethod") or "").strip().upper()
    if waveform.get("compressflag", "true").strip().casefold() in ("false", "no", "f", "0"):
        method = ""
    if method not in ("", "NONE", "UNCOMPRESSED", "XLI"):
        raise _error("compressed", path, "is compressed with an unknown method; only XLI is supported")
    if method == "XLI":
        chunks = _chunks(path, decode_base64(path, "parsedwaveforms", text))
        check_channels(path, len(chunks))
        check_size(path, len(chunks), samples)
        for place, chunk in enumerate(chunks, 1):
            length = _unpacked_length(path, chunk, 2 * samples + _SPARE)
            if not 0 <= length - 2 * samples <= _SPARE:
                check_length(path, f"channel {place}", length / 2, samples, "samples")
        return len(chunks)
    if waveform.get("dataencoding", "").strip() == "Plain":
        total = count_words(text)
    else:
        total = len(decode_base64(path, "parsedwaveforms", text)) // 2
    channels = total // samples
    check_channels(path, channels)
    check_size(path, channels, samples)
    check_length(path, "parsedwaveforms", total, channels * samples, "samples")
    return channels


def _check_declared(path: Path, root: Element, waveform: Element) -> None:
    """Check the limit for the declared number of channels, because ecgdatakit allocates memory for the declared number."""
    if len(waveform.get("leadlabels", "").split(None, MOST_CHANNELS)) > MOST_CHANNELS:
        raise read_error("header", path, "leadlabels", f"exceed the limit of {MOST_CHANNELS}")
    for name in ("numberchannelsallocated", "numberchannelsvalid"):
        for element in root.iter(name):
            # like ecgdatakit, use the text of the element without the text of nested elements
            text = (element.text or "") + "".join(inner.tail or "" for inner in element)
            if (parse_number(path, name, text) or 0) > MOST_CHANNELS:
                raise read_error("header", path, name, f"exceeds the limit of {MOST_CHANNELS}")


def _samples(path: Path, root: Element, waveform: Element) -> int:
    """Return the number of samples per channel, computed from the declared duration and sampling rate."""
    declared = waveform.get("samplespersecond") or next((e.text for e in root.iter("samplingrate")), None)
    rate = parse_number(path, "samplingrate", declared)
    if not rate or rate < 0:
        raise _error("rate", path, "the sampling rate is absent or not positive")
    duration = parse_number(path, "durationperchannel", waveform.get("durationperchannel"))
    if not duration or duration < 0 or round(duration * rate / 1000) < 1:
        raise _error("header", path, "durationperchannel is absent or not positive")
    return round(duration * rate / 1000)


def _chunks(path: Path, data: bytes) -> list[bytes]:
    chunks: list[bytes] = []
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "little", signed=True)
        start += _HEADER
        if size <= 0 or start + size > len(data):
            raise _error("truncated", path, f"channel {len(chunks) + 1} ends beyond the data")
        chunks.append(data[start : start + size])
        start += size
    return chunks


def _unpacked_length(path: Path, chunk: bytes, enough: int) -> int:
    """Return the decompressed length of an LZW chunk in bytes. Counting stops when it exceeds ``enough``."""
    bits = np.unpackbits(np.frombuffer(chunk, dtype=np.uint8))
    count = bits.size // _CODE_BITS
    codes = bits[: count * _CODE_BITS].reshape(count, _CODE_BITS) @ (1 << np.arange(_CODE_BITS)[::-1])
    lengths = [1] * 256
    total = previous = 0
    for code in codes.tolist():
        if code > _LAST_CODE or total > enough:
            break
        if code > len(lengths) or (code == len(lengths) and not previous):
            raise _error("content", path, "the LZW codes are invalid")
        length = lengths[code] if code < len(lengths) else previous + 1
        if previous and len(lengths) <= _LAST_CODE:
            lengths.append(previous + 1)
        previous = length
        total += length
    return total


def _error(reason: str, path: Path, what: str) -> RecordingError:
    return read_error(reason, path, "parsedwaveforms", what)

"""Metadata of an ONNX file, read without a runtime and compared with the other files of a bundle.

Only the outermost level of the file is parsed (protocol buffers, https://protobuf.dev/programming-guides/encoding). The
graph is skipped, so that the check takes the same time for every size of a model.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ecgssl.checked_json import parse_object
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.export.labels import labels_dict
from ecgssl.files import canonical_json, require_regular
from ecgssl.signal.spec import SignalSpec

_METADATA = 14
"""Number of the field ``metadata_props`` of a ``ModelProto`` (onnx.proto)."""
_MOST_FIELDS = 10_000
_MOST_ENTRY_BYTES = 16 << 20


def require_metadata(path: Path, spec: SignalSpec, decision: Decision | None) -> None:
    """Check that a graph has the preprocessing settings and the labels of its bundle.

    Args:
        path: ONNX file.
        spec: preprocessing settings of the bundle.
        decision: calibrators and thresholds of a classifier; ``None`` for an encoder.

    Raises:
        InputError: the file is damaged, or its metadata differ from ``signal.json`` or ``labels.json``.
    """
    about = read_metadata(path)
    problems = []
    if about.get("ecgssl.fingerprint") != spec.fingerprint:
        problems.append(Problem(str(path), "fingerprint", "differs from the fingerprint in signal.json", EXPORT_AGAIN))
    labels = about.get("ecgssl.labels")
    if decision is None:
        same = labels is None
    else:
        expected = parse_object(canonical_json(labels_dict(decision), digits=None), str(path), EXPORT_AGAIN)
        same = labels is not None and parse_object(labels, str(path), EXPORT_AGAIN) == expected
    if not same:
        what = "targets, calibrators or thresholds differ from those in labels.json"
        problems.append(Problem(str(path), "labels", what, EXPORT_AGAIN))
    if problems:
        raise InputError(problems)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file.

    Raises:
        InputError: the file is missing or not in ONNX format.
    """
    about: dict[str, str] = {}
    require_regular(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for number, content in _fields(file, size, (_METADATA,)):
                if number == _METADATA:
                    entry = dict(_fields(io.BytesIO(content), len(content), (1, 2)))
                    about[entry[1].decode("utf-8")] = entry[2].decode("utf-8")
    except (OSError, ValueError, KeyError):
        raise InputError(Problem(str(path), "content", "is truncated or not in ONNX format", EXPORT_AGAIN)) from None
    return about


def _fields(file: BinaryIO, size: int, wanted: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field; the content of other fields than ``wanted`` is empty."""
    for _ in range(_MOST_FIELDS):
        if file.tell() == size:
            return
        key = _number(file)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("a field without a number")
        if kind == 0:
            _number(file)
            yield number, b""
            continue
        length = {1: 8, 5: 4}[kind] if kind != 2 else _number(file)
        if length > size - file.tell():
            raise ValueError("a field is longer than the file")
        if number in wanted and kind == 2:
            if length > _MOST_ENTRY_BYTES:
                raise ValueError("an entry of the metadata is too long")
            yield number, file.read(length)
        else:
            file.seek(length, 1)
            yield number, b""
    raise ValueError("too many fields")


def _number(file: BinaryIO) -> int:
    """Read an integer of variable length, with 7 bits per byte."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("the file ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number of more than 10 bytes")

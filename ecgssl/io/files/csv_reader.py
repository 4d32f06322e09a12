"""Text tables of samples (CSV, TSV) to ``Recording``: a header row of lead names, one row per instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.files.csv_header import Columns, decode, is_numbers, parse_columns
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import parser_errors, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size, read_limited

LARGEST_TEXT = 256 << 20
"""Bytes; about 1.7 hours of twelve leads at 500 Hz."""

_UNEVEN = 0.25
"""Of a step: times may be rounded, yet a sample that is missing or doubled shifts the rest by half a step or more."""


def read_csv(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a table of samples.

    Args:
        path: text in UTF-8 or Latin-1; cells separated by comma, semicolon or tab. The header row names the columns: leads,
            each perhaps with its unit as ``I (uV)`` or ``I [uV]``, others that are left out, and perhaps times: ``time``
            or ``t``, as ``time (s)``, ``time_s``, ``t [ms]``. Below, numbers with a decimal point, or comma where cells
            are separated by semicolon; an empty cell or ``nan`` is "no value".
        member: none, a file is one recording.
        overrides: the unit and the sampling rate where the header row and the times do not tell; ``leads`` names all columns
            other than the times.

    Returns:
        The leads in the file's order and spelling, in mV. The sampling rate is that of the times, taken as a whole number
        where it is one to 1 in 10,000.

    Raises:
        RecordingError: ``unreadable``, ``header``, ``truncated`` (rows of different length), ``content`` (cells that are no
            numbers), ``rate`` (times that do not rise evenly), ``too_large``; and as ``resolve_metadata``
            and ``build_recording``.
    """
    refuse_member(path, member)
    data = read_limited(path, LARGEST_TEXT)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    head, _, body = data.partition(b"\n")
    del data
    columns = parse_columns(decode(head))
    if columns is None:
        raise _error("header", path, "header row", "names none of the twelve leads")
    table = _numbers(path, columns, body.rstrip(b"\n"))
    kept = [i for i in range(len(columns.names)) if i != columns.time]
    units = [columns.units[i] for i in kept]
    resolved = resolve_metadata(
        path,
        overrides,
        len(kept),
        sampling_rate=None if columns.time is None else _sampling_rate(path, columns, table[columns.time]),
        unit=units,
        leads=[columns.names[i] for i in kept],
    )
    return build_recording(path, resolved, [table[kept[i]] for i in resolved.rows], record_id=path.stem, name="csv")


def _numbers(path: Path, columns: Columns, body: bytes) -> list[NDArray[np.float64]]:
    """The columns of the body."""
    import io

    import pandas as pd

    count = len(columns.names)
    rows = body.count(b"\n") + 1 if body else 0
    if rows == 0:
        raise _error("length", path, "rows", "there are none below the header row")
    check_size(path, count, rows)
    first = decode(body[: body.find(b"\n")] if rows > 1 else body).split(columns.delimiter)
    # a cut last row would otherwise end in values that nobody wrote
    if len(first) != count or body.count(columns.delimiter.encode()) != rows * (count - 1):
        raise _error("truncated", path, "rows", f"do not all have {count} cells like the header row")
    if not is_numbers(first):
        raise _error("content", path, "cells", "are not all numbers")
    comma = columns.delimiter == ";" and b"," in body
    with parser_errors(path, "pandas"):
        try:
            frame = pd.read_csv(
                io.BytesIO(body),
                sep=columns.delimiter,
                header=None,
                index_col=False,
                dtype=np.float64,
                decimal="," if comma else ".",
                keep_default_na=False,
                na_values=["", "nan", "NaN", "NAN"],
                skip_blank_lines=False,
                encoding="latin-1",
            )
        except ValueError:
            raise _error("content", path, "cells", "are not all numbers") from None
    if frame.shape != (rows, count):
        raise _error("content", path, "cells", f"make {frame.shape[0]} rows, the text has {rows}")
    return [frame[i].to_numpy() for i in range(count)]


def _sampling_rate(path: Path, columns: Columns, times: NDArray[np.float64]) -> float | None:
    """Hz, or ``None`` where the unit of the times is unknown."""
    steps = len(times) - 1
    even = times[0] + np.arange(steps + 1) * ((times[-1] - times[0]) / max(steps, 1))
    step = even[-1] - even[-2] if steps else 0.0
    if not (np.isfinite(times).all() and step > 0 and np.abs(times - even).max() <= _UNEVEN * step):
        raise _error("rate", path, columns.names[columns.time or 0], "times do not rise evenly")
    if columns.time_unit is None:
        return None
    rate = float(steps / ((times[-1] - times[0]) * columns.time_unit))
    return float(round(rate)) if abs(rate - round(rate)) <= 1e-4 * rate else rate


_REMEDY = {
    "header": "Begin the file with a row of lead names",
    "truncated": "Export the table again",
    "content": "Write numbers, and nothing where there is no value",
    "rate": "Export the table again, or leave the column of times out and state the rate",
    "length": "Leave the file out",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))

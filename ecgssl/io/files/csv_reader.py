"""Reader for CSV and TSV files with a header row of lead names and one row per sample."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.files.csv_header import CLOCK, Columns, is_clock, is_numbers, parse_columns
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, build_recording, resolve_metadata
from ecgssl.io.read_errors import parser_errors, read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size, read_limited
from ecgssl.io.text_encoding import decode

if TYPE_CHECKING:
    import pandas as pd

LARGEST_TEXT = 256 << 20
"""Largest file in bytes, about 1.7 hours of twelve leads at 500 Hz."""

_UNEVEN = 0.25
"""Largest deviation of a time from even spacing, as a fraction of the sampling interval."""


def read_csv(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a CSV or TSV file with one row per sample.

    Args:
        path: path of a text file in UTF-8 or Latin-1 with comma, semicolon or tab as delimiter. The header row contains
            lead names, optionally with units as in ``I (uV)`` or ``I [uV]``, or with a second row of units, as
            PhysioNet's ``rdsamp -c -v`` writes them. An optional time column is named ``time``, ``t`` or ``elapsed
            time``, or with its unit ``time (s)``, ``time_s`` or ``t [ms]``; times may have the form ``0:00.004``. Other
            columns must contain numbers too, and are ignored. Numbers have a decimal point, or a decimal comma if the
            delimiter is a semicolon. Empty cells and ``nan`` are missing values.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file. ``leads`` has one name for each column
            except the time column.

    Returns:
        The leads in mV, in the order and spelling of the file. The sampling rate is computed from the time column, or
        from the sampling interval in the unit of a column of sample numbers. It is rounded to a whole number if the
        relative difference is at most 1e-4.

    Raises:
        RecordingError: reason ``unreadable``, ``header``, ``length`` (no rows of samples), ``truncated`` (rows of different
            length), ``content`` (cells that are not numbers), ``rate`` (times that are not evenly spaced) or
            ``too_large``. Errors of ``resolve_metadata`` and ``build_recording`` propagate.
    """
    refuse_member(path, member)
    data = read_limited(path, LARGEST_TEXT)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    head, _, body = data.partition(b"\n")
    second, _, rest = body.partition(b"\n")
    columns = parse_columns(decode(head), decode(second))
    if columns is None:
        fix = "Add a first row with the lead names"
        raise read_error("header", path, "header row", "contains none of the twelve leads", fix)
    if columns.rows == 2:
        body = rest
    del data, rest
    table, has_clock = _read_columns(path, columns, body.rstrip(b"\n"))
    kept = [i for i in range(len(columns.names)) if i != columns.time]
    resolved = resolve_metadata(
        path,
        overrides,
        len(kept),
        sampling_rate=_sampling_rate(path, columns, table, 1.0 if has_clock else columns.time_unit),
        unit=[columns.units[i] for i in kept],
        leads=[columns.names[i] for i in kept],
    )
    return build_recording(path, resolved, [table[kept[i]] for i in resolved.rows], record_id=path.stem, name="csv")


def _read_columns(path: Path, columns: Columns, body: bytes) -> tuple[list[NDArray[np.float64]], bool]:
    """Return the values of each column below the header, and whether the times have the form ``0:00.004``."""
    import pandas as pd

    count = len(columns.names)
    rows = body.count(b"\n") + 1 if body else 0
    if rows == 0:
        raise read_error("length", path, "rows", "the file has no rows below the header row")
    check_size(path, count, rows)
    first = decode(body[: body.find(b"\n")] if rows > 1 else body).split(columns.delimiter)
    # checked here, because pandas fills an incomplete last row with missing values
    if len(first) != count or body.count(columns.delimiter.encode()) != rows * (count - 1):
        raise read_error("truncated", path, "rows", f"not all rows have {count} cells, as the header row has")
    not_numbers = read_error(
        "content", path, "cells", "are not all numbers", "Use only numbers, and leave cells of missing values empty"
    )
    clock = columns.time if columns.time is not None and is_clock(first[columns.time]) else None
    if not is_numbers([cell for i, cell in enumerate(first) if i != clock]):
        raise not_numbers
    with parser_errors(path, "pandas"):
        try:
            frame = pd.read_csv(
                io.BytesIO(body),
                sep=columns.delimiter,
                header=None,
                index_col=False,
                dtype={i: str if i == clock else np.float64 for i in range(count)},
                decimal="," if columns.delimiter == ";" and b"," in body else ".",
                keep_default_na=False,
                na_values=["", "nan", "NaN", "NAN"],
                skip_blank_lines=False,
                encoding="latin-1",
            )
        except ValueError:
            raise not_numbers from None
    if frame.shape != (rows, count):
        raise read_error("content", path, "cells", f"pandas parsed {frame.shape[0]} rows, but the file has {rows}")
    table = [_seconds(path, frame[i]) if i == clock else frame[i].to_numpy() for i in range(count)]
    return table, clock is not None


def _seconds(path: Path, times: pd.Series) -> NDArray[np.float64]:
    """Return the times in s of a column of hours (optional), minutes and seconds."""
    parts = times.str.extract(f"^[ '\"]*{CLOCK.pattern}[ '\"]*$")
    if parts[1].isna().any():
        raise read_error("content", path, "time column", "has cells that are not times", "Export the table again")
    hours, minutes, seconds = (parts[i].fillna("0").str.replace(",", ".").astype(float).to_numpy() for i in range(3))
    found: NDArray[np.float64] = hours * 3600 + minutes * 60 + seconds
    return found


def _sampling_rate(
    path: Path, columns: Columns, table: list[NDArray[np.float64]], time_unit: float | None
) -> float | None:
    """Return the sampling rate in Hz from the time column or the sampling interval; ``None`` if it is unknown."""
    if columns.time is None:
        return _rounded(1 / columns.interval) if columns.interval else None
    times = table[columns.time]
    steps = len(times) - 1
    even = times[0] + np.arange(steps + 1) * ((times[-1] - times[0]) / max(steps, 1))
    step = even[-1] - even[-2] if steps else 0.0
    if not (np.isfinite(times).all() and step > 0 and np.abs(times - even).max() <= _UNEVEN * step):
        fix = "Export the table again, or remove the time column and set the sampling rate"
        raise read_error("rate", path, "time column", "times are not evenly spaced", fix)
    return None if time_unit is None else _rounded(float(steps / ((times[-1] - times[0]) * time_unit)))


def _rounded(rate: float) -> float:
    """Return the rate, rounded to a whole number if the relative difference is at most 1e-4."""
    return float(round(rate)) if abs(rate - round(rate)) <= 1e-4 * rate else rate

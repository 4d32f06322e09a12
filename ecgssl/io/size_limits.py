"""Size limits for recordings and their files, checked before memory is allocated."""

from __future__ import annotations

from pathlib import Path

from ecgssl.files import refuse_pipe
from ecgssl.io.read_errors import file_errors, read_error

LARGEST = 1 << 27
"""Largest number of values (leads x samples) of one recording: 1 GiB as float64, 0.5 GiB as float32.

With twelve leads at 500 Hz, the limit is 6.2 hours. Three leads of 24 hours at 500 Hz are within the limit.
"""

SPLIT = "Split the recording into parts"
"""Suggested fix in errors about recordings that are too large."""


def check_size(path: Path, leads: int, samples: int) -> None:
    """Check that a recording does not exceed the limit of ``LARGEST`` values.

    Args:
        path: file name for messages.
        leads: number of rows in the file, including rows that are not one of the twelve leads.
        samples: number of samples per row.

    Raises:
        RecordingError: reason ``too_large`` if the limit is exceeded.
    """
    if leads * samples > LARGEST:
        what = f"leads x samples exceed the limit of {LARGEST} values"
        raise read_error("too_large", path, "length", what, SPLIT)


def read_limited(path: Path, largest: int) -> bytes:
    """Return the content of a file, which may have at most ``largest`` bytes.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable`` or ``too_large``.
    """
    with file_errors(path):
        refuse_pipe(path)
        with path.open("rb") as stream:
            data = stream.read(largest + 1)
    if len(data) > largest:
        what = f"exceeds the limit of {largest >> 20} MiB for this format"
        raise read_error("too_large", path, "file", what, SPLIT)
    return data

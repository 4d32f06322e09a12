"""How large a recording and its file may be, asked before anything is allocated for it."""

from __future__ import annotations

from pathlib import Path

from ecgssl.errors import Problem, RecordingError

LARGEST = 1 << 27
"""Values (leads x samples) of one recording: 1 GiB as float64, 0.5 GiB as the float32 of a ``Recording``.

Twelve leads of 30 minutes at 257 Hz (INCART) are 4 % of it, of 6.2 hours at 500 Hz all of it; three leads of 24 hours at
500 Hz pass, twelve do not.
"""


def check_size(path: Path, leads: int, samples: int) -> None:
    """Refuse a recording that is too large to be read whole.

    Args:
        path: names the file in messages.
        leads: rows, including those that will be left out.
        samples: per row.

    Raises:
        RecordingError: ``too_large``.
    """
    if leads * samples > LARGEST:
        what = f"{leads} leads of {samples} samples are more than {LARGEST} values, the most of one recording"
        raise RecordingError("too_large", Problem(str(path), "length", what, "Cut the recording into parts"))


def read_limited(path: Path, largest: int) -> bytes:
    """The content of a file of at most ``largest`` bytes.

    Raises:
        RecordingError: ``missing_file``, ``unreadable`` or ``too_large``.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(largest + 1)
    except FileNotFoundError:
        problem = Problem(str(path), "file", "does not exist", "Correct the path of the record")
        raise RecordingError("missing_file", problem) from None
    except OSError as error:
        problem = Problem(str(path), "file", f"cannot be read ({error.strerror})", "Check disk and permissions")
        raise RecordingError("unreadable", problem) from error
    if len(data) > largest:
        what = f"has more than {largest >> 20} MiB, the most of one recording in this format"
        raise RecordingError("too_large", Problem(str(path), "file", what, "Cut the recording into parts"))
    return data

"""How large a recording may be, asked of what a file declares before anything is allocated for it."""

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

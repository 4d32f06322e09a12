"""What is wrong with one export of a hospital system, as the error that names it."""

from __future__ import annotations

from pathlib import Path

from ecgssl.errors import Problem, RecordingError

REMEDY = "Export the file again, or leave it out"


def fault(reason: str, path: Path, field: str, what: str) -> RecordingError:
    """The error for a file that only another export can mend.

    Args:
        reason: code under which it is counted.
        path: names the file in messages.
        field: the element, lead or count concerned.
        what: what is wrong with it; without anything that the file says of a person.
    """
    return RecordingError(reason, Problem(str(path), field, what, REMEDY))

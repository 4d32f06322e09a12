"""Members: recordings in a file that holds many."""

from __future__ import annotations

from pathlib import Path

from ecgssl.errors import Problem, RecordingError


def refuse_member(path: Path, member: str | None) -> None:
    """Raise ``member`` where one is named of a file that holds a single recording."""
    if member is not None:
        problem = Problem(
            str(path), f"member {member[:20]!r}", "the file holds a single recording", "Name the file alone"
        )
        raise RecordingError("member", problem)

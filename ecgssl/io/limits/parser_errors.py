"""The border to libraries that parse files: whatever they raise on a damaged one becomes a named error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgssl.errors import Problem, RecordingError


@contextmanager
def guarded(path: Path, library: str) -> Iterator[None]:
    """Around calls of a library on a file, and around nothing else: parsers leak whatever their code stumbles over.

    The cause stays attached for whoever needs it; its text may hold what the file holds, and is not repeated. Warnings
    of the library about the file are silenced, our own checks say what is wrong.

    Raises:
        RecordingError: ``unreadable``, for every ``Exception`` other than a ``RecordingError`` itself.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RecordingError:
        raise
    except Exception as error:
        what = f"{library} cannot read it ({type(error).__name__})"
        remedy = "Fetch or export the file again, or leave it out"
        raise RecordingError("unreadable", Problem(str(path), "content", what, remedy)) from error

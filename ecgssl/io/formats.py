"""The formats that can be read, recognised by what a file holds, never by its name alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.recording import Recording
from ecgssl.io.stated import Stated

HEAD = 4096
"""Bytes of a file by which its format is recognised."""

Reader = Callable[[Path, str | None, Stated], Recording]
"""(file, member, stated) -> recording. ``member`` names one recording of a file that holds many, otherwise ``None``."""

Members = Callable[[Path], tuple[str, ...]]
"""Names of the recordings in a file that holds many; empty for a file that holds one."""


@dataclass(frozen=True)
class Format:
    """One file format.

    Args:
        name: as messages, ``--json`` and ``Recording.meta["format"]`` spell it.
        title: for people.
        recognises: whether a file, given its path and its first ``HEAD`` bytes, is of this format.
        reader: ``module:function``, imported when the first such file is read.
        members: ``module:function`` of ``Members`` for formats that can hold many recordings.
    """

    name: str
    title: str
    recognises: Callable[[Path, bytes], bool]
    reader: str
    members: str | None = None

    def read(self, path: Path, member: str | None, stated: Stated) -> Recording:
        """Read a file of this format; raises ``RecordingError`` as the reader says."""
        return cast(Reader, _load(self.reader))(path, member, stated)

    def list_members(self, path: Path) -> tuple[str, ...]:
        """Names of the recordings in a file that holds many; empty for a file that holds one."""
        return cast(Members, _load(self.members))(path) if self.members else ()


def _load(name: str) -> object:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _is_wfdb(path: Path, head: bytes) -> bool:
    from ecgssl.io.wfdb_reader import header_path

    return header_path(path).is_file()


FORMATS: tuple[Format, ...] = (Format("wfdb", "WFDB", _is_wfdb, "ecgssl.io.wfdb_reader:read_wfdb"),)
"""In the order in which a file is tried."""


def identify(path: Path) -> Format:
    """The format of a file.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, or ``format`` for a file that no reader knows.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except FileNotFoundError:
        head = b""  # a WFDB record is named without its suffix
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise RecordingError("unreadable", Problem(str(path), "file", what, "Check disk and permissions")) from error
    for candidate in FORMATS:
        if candidate.recognises(path, head):
            return candidate
    if not path.exists():
        problem = Problem(str(path), "file", "does not exist", "Correct the path of the record")
        raise RecordingError("missing_file", problem)
    known = ", ".join(entry.title for entry in FORMATS)
    raise RecordingError("format", Problem(str(path), "format", "no reader knows it", f"Convert it to one of: {known}"))

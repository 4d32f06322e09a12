"""Every recording in and below a folder, in whatever format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io import MEMBER
from ecgssl.io.formats import identify
from ecgssl.io.wfdb.header import read_header
from ecgssl.io.wfdb.reader import SUFFIXES


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Args:
        recordings: paths as ``ecgssl.io.read`` takes them, ``file#member`` for each recording of a file that holds many;
            sorted by folder and name, members in the order of their file.
        unknown: files that no reader knows.
    """

    recordings: tuple[str, ...]
    unknown: tuple[Path, ...]


def find_recordings(folder: Path | str) -> Found:
    """Find the recordings in and below a folder.

    A WFDB record is listed once, by its header: its signal files, segments and annotations are neither recordings nor
    unknown. Hidden files and folders are passed over, links to folders are not followed. A file whose format is known and
    whose members cannot be told, because it is damaged, is listed by itself: reading it says what is wrong.

    Raises:
        InputError: with every folder that cannot be looked into.
    """
    problems: list[Problem] = []

    def told(error: OSError) -> None:
        what = f"cannot be looked into ({error.strerror})"
        problems.append(Problem(str(error.filename), "folder", what, "Correct the path, check disk and permissions"))

    recordings: list[str] = []
    unknown: list[Path] = []
    for place, inside, names in os.walk(folder, onerror=told):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        headers = {path for path in paths if path.suffix == ".hea"}
        parts = _parts_of_wfdb(headers)
        for path in paths:
            if path in parts:
                continue
            if path in headers:
                recordings.append(str(path))
                continue
            listed = _listed(path)
            recordings += listed
            # an annotation has the name of its record and a suffix of its own
            if not listed and path.with_suffix(".hea") not in headers:
                unknown.append(path)
    if problems:
        raise InputError(problems)
    return Found(tuple(recordings), tuple(unknown))


def with_members(path: Path) -> list[str]:
    """The recordings of one file: ``file#member`` for each of many, otherwise, and where they cannot be told, the path.

    Raises:
        RecordingError: as ``identify``.
    """
    form = identify(path)
    try:
        members = form.list_members(path)
    except RecordingError:
        members = ()
    return [f"{path}{MEMBER}{member}" for member in members] or [str(path)]


def _listed(path: Path) -> list[str]:
    try:
        return with_members(path)
    except RecordingError as error:
        # what cannot even be opened may be a recording; a pipe is none
        return [str(path)] if error.reason != "format" and (path.is_file() or not path.exists()) else []


def _parts_of_wfdb(headers: set[Path]) -> set[Path]:
    """Files that belong to a WFDB record without being its header: signal files, and headers of segments."""
    parts: set[Path] = set()
    for path in headers:
        try:
            header = read_header(path)
        except RecordingError:
            # unreadable: what bears its name is most likely its signal file
            parts |= {path.with_suffix(suffix) for suffix in SUFFIXES[1:]}
            continue
        parts |= {path.with_name(line.file) for line in header.signals}
        parts |= {path.with_name(f"{name}.hea") for name, _ in header.segments} - {path}
    return parts

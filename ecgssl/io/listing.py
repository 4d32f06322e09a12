"""Search for recordings of any format in a folder and its subfolders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io import MEMBER
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.formats import identify
from ecgssl.io.wfdb.header import read_header
from ecgssl.io.wfdb.reader import SUFFIXES

ECG_SUFFIXES = (".xml", ".dcm", ".edf", ".bdf", ".scp", ".mwf", ".atc", ".ecg")
"""Suffixes of ECG formats in lower case. Such a file is listed even if its content is not recognised, as a damaged ECG."""


@dataclass(frozen=True)
class RecordingListing:
    """Recordings and files of unsupported formats found in a folder.

    Args:
        recordings: paths for ``ecgssl.io.read``, sorted by folder and name. A file with several recordings has one path
            ``file#member`` for each, in the order of the file.
        unknown: files of unsupported formats.
    """

    recordings: tuple[str, ...]
    unknown: tuple[Path, ...]


def find_recordings(folder: Path | str) -> RecordingListing:
    """Return the paths of all recordings in a folder and its subfolders.

    A WFDB record is listed once, by its header file. Its signal files, segments and annotation files are not listed.
    Hidden files and folders are skipped, and links to folders are not followed. Damaged files are listed too, if their
    content or their suffix (``ECG_SUFFIXES``) is that of a format; ``ecgssl.io.read`` raises the error.

    Raises:
        InputError: one or more folders cannot be read. The error lists all of them.
    """
    problems: list[Problem] = []

    def add_problem(error: OSError) -> None:
        what = f"cannot be read ({error.strerror})"
        problems.append(Problem(str(error.filename), "folder", what, "Correct the path, or check disk and permissions"))

    recordings: list[str] = []
    unknown: list[Path] = []
    for place, inside, names in os.walk(as_on_disk(Path(folder)), onerror=add_problem):
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
            listed = _list_file(path)
            recordings += listed
            # a file with the name of a header and another suffix is an annotation file
            if not listed and path.with_suffix(".hea") not in headers:
                unknown.append(path)
    if problems:
        raise InputError(problems)
    return RecordingListing(tuple(recordings), tuple(unknown))


def member_paths(path: Path) -> list[str]:
    """Return one path ``file#member`` per recording of a file, or the file path if it is damaged or has one recording.

    Raises:
        RecordingError: the format cannot be identified; see ``ecgssl.io.formats.identify``.
    """
    form = identify(path)
    try:
        members = form.list_members(path)
    except RecordingError:
        members = ()
    return [f"{path}{MEMBER}{member}" for member in members] or [str(path)]


def _list_file(path: Path) -> list[str]:
    try:
        return member_paths(path)
    except RecordingError as error:
        # a file that cannot be read may still be a recording, so list it; skip pipes and other special files
        damaged = error.reason != "format" or path.suffix.lower() in ECG_SUFFIXES
        return [str(path)] if damaged and (path.is_file() or not path.exists()) else []


def _parts_of_wfdb(headers: set[Path]) -> set[Path]:
    """Return the signal files and segment headers of the WFDB records with these headers."""
    parts: set[Path] = set()
    for path in headers:
        try:
            header = read_header(path)
        except RecordingError:
            # the header is damaged; a file of the same name is probably its signal file
            parts |= {path.with_suffix(suffix) for suffix in SUFFIXES[1:]}
            continue
        parts |= {as_on_disk(path.with_name(line.file)) for line in header.signals}
        parts |= {as_on_disk(path.with_name(f"{name}.hea")) for name, _ in header.segments} - {path}
    return parts

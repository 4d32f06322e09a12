"""Inputs of scoring: files, folders and manifests, expanded to a list of named recordings."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io import locate
from ecgssl.io.file_names import as_on_disk
from ecgssl.io.listing import find_recordings, member_paths
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.signatures import is_sample_file
from ecgssl.io.wfdb.reader import SUFFIXES, header_path

if TYPE_CHECKING:
    from ecgssl.config import ManifestParams

_TABLES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Listed:
    """A recording to score.

    Args:
        record_id: unique name in the list, without a path.
        path: path of the file, or ``file#member``. The file may be missing.
        overrides: metadata from a manifest that replace missing or wrong metadata in the file.
    """

    record_id: str
    path: str
    overrides: MetadataOverrides = NO_OVERRIDES


@dataclass(frozen=True)
class Inputs:
    """Recordings found in the inputs of scoring.

    Args:
        items: recordings to score.
        unknown: files, found in folders, that no reader supports. They get no row in the output.
    """

    items: tuple[Listed, ...]
    unknown: tuple[str, ...]


def list_recordings(
    inputs: Sequence[Path | str], root: Path | str | None = None, reading: ManifestParams | None = None
) -> Inputs:
    """Return the recordings in files, folders and manifests, in the given order.

    A recording of a manifest keeps its ``record_id``. Any other recording is named after its file without suffix, or after
    its member. If two names are equal, the path relative to the common folder of all inputs is used. It includes the
    suffix, except for WFDB records. Names that are still equal get ``#2``, ``#3``.

    Args:
        inputs: files, folders, glob patterns and manifests. A file is a recording in any format, a WFDB record with or
            without suffix, or ``file#member``; a file with several members stands for all of them. Folders are searched
            by ``ecgssl.io.listing.find_recordings``. A manifest is a table with the columns record_id and path.
        root: folder that relative paths in manifests start from; by default the folder of each manifest.
        reading: settings for reading the columns of manifests; without a manifest in the inputs, they are an error.

    Raises:
        InputError: there are no inputs, a folder contains no recordings, a pattern matches no file, or a manifest is
            unusable or none of its files exists; all problems are listed. Single missing files are not an error: they are
            listed and get a row in the output.
    """
    found: list[Listed] = []
    unnamed: set[int] = set()
    unknown: list[str] = []
    problems: list[Problem] = []
    tables = 0
    for item in (as_on_disk(Path(match)) for match in _matched(inputs, problems)):
        try:
            if item.suffix.lower() in _TABLES and not is_sample_file(item):
                tables += 1
                found += _of_manifest(item, root, reading)
                continue
            if item.is_dir():
                inside = find_recordings(item)
                paths = list(inside.recordings)
                unknown += map(str, inside.unknown)
                if not paths:
                    what = f"contains no recording in a known format ({len(inside.unknown)} other files)"
                    problems.append(Problem(str(item), "folder", what, "Use a folder of recordings"))
            else:
                paths = _of_file(item)
        except InputError as error:
            problems += error.problems
            continue
        unnamed.update(range(len(found), len(found) + len(paths)))
        found += [Listed(_name(path), path) for path in paths]
    if not inputs:
        problems.append(Problem("inputs", "files", "there are none", "Specify recordings, folders or a manifest"))
    if reading is not None and not tables:
        what, remedy = "describe a table, but the inputs contain none", "Add the table, or remove these options"
        problems.append(Problem("inputs", "--column, --path-prefix", what, remedy))
    if problems:
        raise InputError(problems)
    return Inputs(tuple(_distinct(found, unnamed)), tuple(unknown))


def _matched(inputs: Sequence[Path | str], problems: list[Problem]) -> Iterator[str]:
    """Yield the matches of patterns; add a problem for each pattern without match."""
    for item in map(str, inputs):
        if not item:
            problems.append(Problem("input", "path", "is an empty text", "Use '.' for the current folder"))
            continue
        if not glob.has_magic(item) or os.path.lexists(item) or os.path.lexists(locate(item)[0]):
            yield item
            continue
        spellings = {item, normalize("NFC", item), normalize("NFD", item)}
        matches = sorted({match for each in spellings for match in glob.glob(each, recursive=True)})  # noqa: PTH207 (absolute patterns)
        if not matches:
            problems.append(Problem(item, "pattern", "matches no file", "Correct the pattern"))
        # skip the signal file of a record whose header also matches
        headers = {match.removesuffix(".hea") for match in matches if match.endswith(".hea")}
        yield from (m for m in matches if m.endswith(".hea") or os.path.splitext(m)[0] not in headers)  # noqa: PTH122


def _of_file(path: Path) -> list[str]:
    try:
        return member_paths(path)
    except RecordingError:
        return [str(path)]  # scoring reports the error in the row of this file


def _of_manifest(path: Path, root: Path | str | None, reading: ManifestParams | None) -> list[Listed]:
    # import here, because pandas takes a second and only tables need it
    from ecgssl.datasets.table.manifest import listed_recordings
    from ecgssl.preprocessing.request import recording_requests

    cohort = listed_recordings(path, root, reading)
    items = recording_requests(cohort, 0, len(cohort))
    return [Listed(name, i.path, i.overrides) for name, i in zip(cohort.table["record_id"], items, strict=True)]


def _name(path: str) -> str:
    file, member = locate(path)
    return member if member is not None else _without_suffix(file).name


def _without_suffix(file: Path) -> Path:
    """Return the path of a file without its suffix. A dot in the name of a WFDB record without suffix is kept."""
    if file.suffix.lower() in SUFFIXES or (file.is_file() and not header_path(file).is_file()):
        return file.with_suffix("")
    return file


def _distinct(found: list[Listed], unnamed: set[int]) -> list[Listed]:
    counts = Counter(item.record_id for item in found)
    places: dict[int, str] = {}
    if len(counts) < len(found):
        places = {i: os.path.abspath(found[i].path) for i in unnamed}  # noqa: PTH100 (links stay)
    shared = os.path.commonpath([os.path.dirname(path) for path in places.values()]) if places else ""  # noqa: PTH120
    names: list[str] = []
    taken: set[str] = set()
    for i, item in enumerate(found):
        name = item.record_id
        if counts[name] > 1 and i in unnamed:
            place = Path(places[i]).relative_to(shared)
            name = (place.with_suffix("") if place.suffix.lower() in SUFFIXES else place).as_posix()
        base, number = name, 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        taken.add(name)
        names.append(name)
    return [replace(item, record_id=name) for name, item in zip(names, found, strict=True)]

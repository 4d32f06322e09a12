"""What is to be scored: files, folders and manifests as one list of named recordings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.datasets.manifest import listed_recordings
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb_reader import header_path


@dataclass(frozen=True)
class Listed:
    """A recording to score.

    Args:
        record_id: unique in its list, without any path of this machine.
        path: of the file; whether it is there is not known yet.
    """

    record_id: str
    path: Path


def list_recordings(inputs: Sequence[Path | str]) -> list[Listed]:
    """Expand inputs, in their order.

    A recording of a manifest keeps its name there. Any other is called by its file's name without suffix; where two would
    have the same one, by its path relative to the folder that all inputs share; and ``#2`` is added to what is named twice.

    Args:
        inputs: WFDB records with or without suffix, folders (every ``.hea`` in and below them, sorted by path), manifests
            (``.csv`` with record_id and path).

    Raises:
        InputError: with every input that holds no recordings at all: no input, an empty folder, an unusable manifest. A
            single file that is absent is listed, so that it gets its row.
    """
    found: list[Listed] = []
    unnamed: set[int] = set()
    problems: list[Problem] = []
    for item in map(Path, inputs):
        if item.suffix.lower() == ".csv":
            try:
                found += [Listed(name, path) for name, path in listed_recordings(item)]
            except InputError as error:
                problems += error.problems
            continue
        paths = sorted(item.rglob("*.hea")) if item.is_dir() else [item]
        if not paths:
            problems.append(Problem(str(item), "folder", "holds no .hea file", "Name a folder of WFDB records"))
        unnamed.update(range(len(found), len(found) + len(paths)))
        found += [Listed(header_path(path).stem, path) for path in paths]
    if not inputs:
        problems.append(Problem("inputs", "files", "there are none", "Name records, folders or a manifest"))
    if problems:
        raise InputError(problems)
    return _distinct(found, unnamed)


def _distinct(found: list[Listed], unnamed: set[int]) -> list[Listed]:
    counts = Counter(item.record_id for item in found)
    headers = {i: Path(os.path.abspath(header_path(found[i].path))) for i in unnamed}  # noqa: PTH100 (links stay)
    shared = os.path.commonpath([path.parent for path in headers.values()]) if headers else ""
    names: list[str] = []
    taken: set[str] = set()
    for i, item in enumerate(found):
        name = item.record_id
        if counts[name] > 1 and i in unnamed:
            name = headers[i].relative_to(shared).with_suffix("").as_posix()
        base, number = name, 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        taken.add(name)
        names.append(name)
    return [Listed(name, item.path) for name, item in zip(names, found, strict=True)]

"""Fingerprint of the raw data, used by the pipeline to detect changes.

The fingerprint contains the SHA-256 of the tables that list the recordings, and the number and total size of the recording
files. Hashing all recordings on every run would take too long. A recording that is changed without changing its size is
therefore not detected, unless the list of checksums changes too. The fingerprint contains no absolute paths, so that it is
equal on two machines with equal data.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from ecgssl.config import SetParams
from ecgssl.config.manifest import targets_file_of
from ecgssl.errors import InputError, Problem
from ecgssl.files import sha256_of

_RECORD_SUFFIXES = (".hea", ".dat", ".mat")
_LISTS = {"ptbxl": ("ptbxl_database.csv", "scp_statements.csv", "SHA256SUMS.txt"), "cohort": ("SHA256SUMS.txt",)}
_OPTIONAL = ("SHA256SUMS.txt",)


def fingerprint(data: SetParams, seed: int, paths: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fingerprint of the raw data.

    Args:
        data: section of the set in the parameters.
        seed: seed of the simulated dataset; not used for other datasets.
        paths: paths of the recordings relative to the root, as in the column ``path`` of a cohort; not used for the
            simulated dataset.

    Returns:
        A dict for a JSON file. It contains the reader. For the simulated dataset, it also contains the
        parameters and the seed. Otherwise, it also contains ``lists`` (SHA-256 of each table), ``records`` (number of
        distinct paths), ``files`` and ``bytes`` (number and total size of the files found), ``missing`` (number of paths
        without a file) and, for PTB-XL, ``sampling_rate``.

    Raises:
        InputError: tables cannot be read. The message lists all of them.
    """
    if data.reader == "synthetic":
        return {"reader": data.reader, "seed": seed, "synthetic": data.synthetic.model_dump(mode="json")}
    root = data.root or (data.manifest.parent if data.manifest else Path())
    lists = [root / name for name in _LISTS.get(data.reader, _OPTIONAL)]
    if data.reader not in _LISTS:
        # other datasets have their tables in the root folder or, for CPSC2018, in a subfolder
        lists += sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    if data.reader == "cohort" and data.manifest:
        declared = targets_file_of(data.manifest, data.targets_file)
        lists[:0] = [data.manifest, *([declared] if declared else [])]
    if data.merl is not None:
        lists += sorted(data.merl.folder.glob("**/*.csv"))
    hashes: dict[str, str] = {}
    problems: list[Problem] = []
    for file in lists:
        if file.name in _OPTIONAL and not file.exists():
            continue
        try:
            hashes[file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name] = sha256_of(file)
        except OSError as error:
            problems.append(
                Problem(
                    str(file), "file", error.strerror or "cannot be read", "Check sets.NAME.root and sets.NAME.manifest"
                )
            )
    if problems:
        raise InputError(problems)
    result: dict[str, Any] = {"reader": data.reader, "lists": hashes, **_measure(root, paths)}
    if data.reader == "ptbxl":
        result["sampling_rate"] = data.sampling_rate
    return result


def _measure(root: Path, paths: Iterable[str]) -> dict[str, int]:
    listed: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        # remove the member from "file.suffix#member"
        file = PurePosixPath(path.rpartition("#")[0])
        parent, name = os.path.split(str(file if file.suffix else PurePosixPath(path)))
        listed[parent].add(_record_name(name))
    files = size = missing = 0
    # list each folder once, because one query per file is several times slower on a network drive
    for parent, names in listed.items():
        found: set[str] = set()
        try:
            with os.scandir(root / parent) as entries:
                for entry in entries:
                    name = _record_name(entry.name)
                    if name in names and entry.is_file():
                        found.add(name)
                        files += 1
                        size += entry.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            pass
        missing += len(names - found)
    return {"records": sum(map(len, listed.values())), "files": files, "bytes": size, "missing": missing}


def _record_name(file: str) -> str:
    return file[:-4] if file.endswith(_RECORD_SUFFIXES) else file

"""A small file that stands for the raw recordings, so that a pipeline notices when they change.

A million recordings are not hashed on every run: the fingerprint holds the SHA-256 of what lists them (the manifest and
the set's own checksums) and the number and bytes of the files listed. A file altered in place, with the same size and
without its set's checksums being altered, escapes it. It names no path, so two machines with the same data agree.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from ecgssl.config import DataParams
from ecgssl.config.manifest import targets_file_of
from ecgssl.errors import InputError, Problem
from ecgssl.files import sha256_of

_RECORD_SUFFIXES = (".hea", ".dat", ".mat")
_LISTS = {"ptbxl": ("ptbxl_database.csv", "scp_statements.csv", "SHA256SUMS.txt"), "cohort": ("SHA256SUMS.txt",)}
_OPTIONAL = ("SHA256SUMS.txt",)


def fingerprint(data: DataParams, seed: int, paths: Iterable[str] = ()) -> dict[str, Any]:
    """Describe the raw data that ``data`` names.

    Args:
        data: section ``data`` of the parameters.
        seed: of the parameters; the synthetic set follows from it.
        paths: record paths relative to the root (column ``path`` of a cohort's table), with or without suffix, or
            ``file#member``; unused for the synthetic set.

    Returns:
        For ``synthetic`` its parameters and seed. Otherwise ``lists`` (file name: SHA-256), ``records`` (distinct
        paths), ``files`` and ``bytes`` found for them, and ``missing`` (paths with no file). Plain types only.

    Raises:
        InputError: with every list that cannot be read.
    """
    if data.set == "synthetic":
        return {"set": data.set, "seed": seed, "synthetic": data.synthetic.model_dump(mode="json")}
    root = data.root or (data.manifest.parent if data.manifest else Path())
    lists = [root / name for name in _LISTS.get(data.set, _OPTIONAL)]
    if data.set not in _LISTS:
        # tables of other sets lie in the root, or one folder below it (CPSC2018)
        lists += sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    if data.set == "cohort" and data.manifest:
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
                Problem(str(file), "file", error.strerror or "cannot be read", "Check data.root and data.manifest")
            )
    if problems:
        raise InputError(problems)
    result: dict[str, Any] = {"set": data.set, "lists": hashes, **_measure(root, paths)}
    if data.set == "ptbxl":
        result["sampling_rate"] = data.sampling_rate
    return result


def _measure(root: Path, paths: Iterable[str]) -> dict[str, int]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        # of "file.suffix#member" the file
        file = PurePosixPath(path.rpartition("#")[0])
        parent, name = os.path.split(str(file if file.suffix else PurePosixPath(path)))
        wanted[parent].add(_record_name(name))
    files = size = missing = 0
    # One listing per folder: a stat per expected file name would be several times slower on network drives.
    for parent, names in wanted.items():
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
    return {"records": sum(map(len, wanted.values())), "files": files, "bytes": size, "missing": missing}


def _record_name(file: str) -> str:
    return file[:-4] if file.endswith(_RECORD_SUFFIXES) else file

"""List of the files in a dataset release with checksums, read from ``SHA256SUMS.txt`` or the Zenodo API."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from ecgssl.datasets.public.public_set import Source
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.datasets.download.session import ReleaseSession

SUMS = "SHA256SUMS.txt"
_SUM_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})\s+\*?(?P<path>\S.*)$")
_LARGEST_LIST = 1 << 30


@dataclass(frozen=True)
class RemoteFile:
    """One file of a release.

    Args:
        path: path relative to the release, with forward slashes.
        url: URL of the file.
        algorithm: name of the checksum algorithm in ``hashlib``.
        digest: checksum in hexadecimal.
        size: size in bytes; ``None`` if unknown.
    """

    path: str
    url: str
    algorithm: str
    digest: str
    size: int | None = None


def list_release(session: ReleaseSession, source: Source, base_url: str) -> list[RemoteFile]:
    """Download the list of all files of a release.

    Args:
        session: HTTP session.
        source: download source of the dataset.
        base_url: URL of the release or of a mirror.

    Raises:
        InputError: the list of files cannot be downloaded or is invalid.
    """
    if source.listing == "zenodo":
        return _zenodo(session.json(base_url), base_url)
    url = urljoin(base_url, SUMS)
    return parse_sums(session.text(url, _LARGEST_LIST), base_url, url)


def parse_sums(text: str, base_url: str, where: str) -> list[RemoteFile]:
    """Parse the text of a ``SHA256SUMS.txt``, which has lines of the form ``digest path``.

    Raises:
        InputError: the list is empty, or lines are invalid or contain paths outside the release.
    """
    found: dict[str, RemoteFile] = {}
    wrong: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _SUM_LINE.match(line.strip())
        if match is None or not is_inside(match["path"]):
            wrong.append(number)
            continue
        path = match["path"].removeprefix("./")
        found[path] = RemoteFile(path, urljoin(base_url, quote(path)), "sha256", match["digest"])
    if wrong or not found:
        lines = ", ".join(map(str, wrong[:8])) or "the list is empty"
        what = f"has invalid lines (expected a checksum and a path inside the release): {lines}"
        raise InputError(Problem(where, "list of files", what, "Check the URL. Nothing was downloaded"))
    return list(found.values())


def _zenodo(record: Any, where: str) -> list[RemoteFile]:
    try:
        found = []
        for entry in record["files"]:
            algorithm, _, digest = entry["checksum"].partition(":")
            path, link = str(entry["key"]), str(entry["links"]["self"])
            if algorithm != "md5" or not re.fullmatch(r"[0-9a-f]{32}", digest) or not is_inside(path):
                raise ValueError(path)
            found.append(RemoteFile(path, urljoin(where, link), algorithm, digest, int(entry["size"])))
    except (KeyError, TypeError, ValueError) as error:
        what = f"is not a Zenodo record with checksums ({type(error).__name__}: {str(error)[:60]})"
        raise InputError(Problem(where, "list of files", what, "Check the URL. Nothing was downloaded")) from None
    return found


def is_inside(path: str) -> bool:
    """Return whether a relative path stays inside its base folder, on every operating system."""
    pure = PurePosixPath(path)
    return not (pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path or "\0" in path)


def choose(files: Iterable[RemoteFile], source: Source, subsets: Iterable[str]) -> list[RemoteFile]:
    """Select the files of some subsets, and the files that are always required.

    Args:
        files: all files of the release.
        source: download source of the dataset.
        subsets: names in ``source.subsets``, or path patterns such as ``files/p1000/*``; if empty, the files of
            ``source.default``, or all files if it is empty too.

    Raises:
        InputError: a subset has no files. The message lists all such subsets.
    """
    files, subsets = list(files), list(subsets)
    patterns = {name: source.subsets.get(name, (name,)) for name in subsets}
    chosen: dict[str, RemoteFile] = {}
    problems = []
    for name, globs in patterns.items():
        matching = [f for f in files if any(fnmatch.fnmatchcase(f.path, glob) for glob in globs)]
        chosen |= {f.path: f for f in matching}
        if not matching:
            known = ", ".join(source.subsets) or "path patterns"
            problems.append(Problem("--subset", name, "matches no file of the release", f"Use: {known}"))
    if problems:
        raise InputError(problems)
    globs = (*source.needs, *source.default) if not subsets else source.needs
    if not subsets and not source.default:
        return files
    return [f for f in files if f.path in chosen or any(fnmatch.fnmatchcase(f.path, glob) for glob in globs)]

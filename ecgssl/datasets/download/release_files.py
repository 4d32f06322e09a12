"""Files of a release with their checksums, from ``SHA256SUMS.txt`` or the record of Zenodo."""

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
        url: address of the file.
        algorithm, digest: checksum; name in ``hashlib`` and hex digest.
        size: size in bytes, if the release states it.
    """

    path: str
    url: str
    algorithm: str
    digest: str
    size: int | None = None


def list_release(session: ReleaseSession, source: Source, base_url: str) -> list[RemoteFile]:
    """Return all files of a release.

    Args:
        session: connection to the server.
        source: download source with the kind of list.
        base_url: address of the release or of a mirror.

    Raises:
        InputError: there is no list of files, or lines of the list are invalid; lists all such lines.
    """
    if source.listing == "zenodo":
        return _zenodo(session.json(base_url), base_url)
    url = urljoin(base_url, SUMS)
    return parse_sums(session.text(url, _LARGEST_LIST), base_url, url)


def parse_sums(text: str, base_url: str, where: str) -> list[RemoteFile]:
    """Return the files of a ``SHA256SUMS.txt`` with lines ``digest path``.

    Raises:
        InputError: lists all invalid lines and all paths outside the folder.
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
        what = f"lines without a checksum and a path inside the release: {lines}"
        raise InputError(Problem(where, "list of files", what, "Check the address; nothing was downloaded"))
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
        what = f"is not a record with checksums ({type(error).__name__}: {str(error)[:60]})"
        raise InputError(Problem(where, "list of files", what, "Check the address; nothing was downloaded")) from None
    return found


def is_inside(path: str) -> bool:
    """Return whether a relative path stays inside its folder on every operating system."""
    pure = PurePosixPath(path)
    return not (pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path or "\0" in path)


def choose(files: Iterable[RemoteFile], source: Source, subsets: Iterable[str]) -> list[RemoteFile]:
    """Return the files of some subsets and the files that every subset needs.

    Args:
        files: files of the release.
        source: download source with the names of the subsets.
        subsets: names in ``source.subsets``, or path patterns (``files/p1000/*``); empty for the default.

    Raises:
        InputError: lists all subsets without files.
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
            problems.append(Problem("--subset", name, "matches no file of the release", f"Known: {known}"))
    if problems:
        raise InputError(problems)
    globs = (*source.needs, *source.default) if not subsets else source.needs
    if not subsets and not source.default:
        return files
    return [f for f in files if f.path in chosen or any(fnmatch.fnmatchcase(f.path, glob) for glob in globs)]

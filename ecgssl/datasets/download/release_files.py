"""Which files a release consists of, with the checksum of each, as the release itself lists them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from ecgssl.datasets.download.sources import Source
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.datasets.download.polite import Polite

SUMS = "SHA256SUMS.txt"
_SUM_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})\s+\*?(?P<path>\S.*)$")
_LARGEST_LIST = 1 << 30


@dataclass(frozen=True)
class RemoteFile:
    """One file of a release.

    Args:
        path: relative to the release, with forward slashes.
        url: where it is.
        algorithm, digest: of its content; ``hashlib`` name and hex.
        size: in bytes, where the release states it.
    """

    path: str
    url: str
    algorithm: str
    digest: str
    size: int | None = None


def list_release(http: Polite, source: Source, base_url: str) -> list[RemoteFile]:
    """Every file of a release.

    Args:
        http: that fetches the list.
        source: how the release lists its files.
        base_url: the release, or a mirror of it.

    Raises:
        InputError: where there is no list, or with every line of it that names no file inside the release.
    """
    if source.listing == "zenodo":
        return _zenodo(http.json(base_url), base_url)
    url = urljoin(base_url, SUMS)
    return parse_sums(http.text(url, _LARGEST_LIST), base_url, url)


def parse_sums(text: str, base_url: str, where: str) -> list[RemoteFile]:
    """Files of a ``SHA256SUMS.txt``; lines are ``digest path``.

    Raises:
        InputError: with every line that is none, and every path that leaves the folder.
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
        lines = ", ".join(map(str, wrong[:8])) or "none at all"
        what = f"lines that are no checksum and path inside the release: {lines}"
        raise InputError(Problem(where, "list of files", what, "Check the address; nothing was fetched"))
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
        what = f"is no record with checksums ({type(error).__name__}: {str(error)[:60]})"
        raise InputError(Problem(where, "list of files", what, "Check the address; nothing was fetched")) from None
    return found


def is_inside(path: str) -> bool:
    """Whether a path stays within the folder it is relative to, on every system."""
    pure = PurePosixPath(path)
    return not (pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path or "\0" in path)


def choose(files: Iterable[RemoteFile], source: Source, subsets: Iterable[str]) -> list[RemoteFile]:
    """The files of some subsets, with those that the set needs in any case.

    Args:
        files: of the release.
        source: what its subsets are called.
        subsets: names of ``source.subsets``, or patterns of paths (``files/p1000/*``); none for the default.

    Raises:
        InputError: with every subset that no file belongs to.
    """
    files, subsets = list(files), list(subsets)
    patterns = {name: source.subsets.get(name, (name,)) for name in subsets}
    chosen: dict[str, RemoteFile] = {}
    problems = []
    for name, globs in patterns.items():
        matching = [f for f in files if any(fnmatch.fnmatchcase(f.path, glob) for glob in globs)]
        chosen |= {f.path: f for f in matching}
        if not matching:
            known = ", ".join(source.subsets) or "patterns of paths"
            problems.append(Problem("--subset", name, "names no file of the release", f"Known: {known}"))
    if problems:
        raise InputError(problems)
    globs = (*source.needs, *source.default) if not subsets else source.needs
    if not subsets and not source.default:
        return files
    return [f for f in files if f.path in chosen or any(fnmatch.fnmatchcase(f.path, glob) for glob in globs)]

"""Parser for comments in WFDB headers: diagnosis codes, age and sex.

The PhysioNet/CinC Challenges use the comments ``#Age: 74``, ``#Sex: Male`` and ``#Dx: 164889003,59118001``. To save time,
this module does not check the other lines of a header. They are checked when the recording is read.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.io.metadata import OLDEST
from ecgssl.io.metadata import age as age_of
from ecgssl.io.metadata import sex as sex_of
from ecgssl.io.wfdb.header import LARGEST_HEADER

_NOTHING = {"", "nan", "unknown", "none", "n/a"}
_OVER_89 = {">89", "> 89", "300"}
"""Codes of PTB-XL and LUDB for an age above 89. Such ages are not published, because they can identify a person."""

_COMMENT = re.compile(r"^[ \t]*#[ \t]*(age|sex|dx)[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_SHARE = 256
"""Number of headers that a thread reads per task."""


@dataclass(frozen=True)
class HeaderComments:
    """Diagnosis codes, age and sex in the comments of a WFDB header.

    Args:
        codes: distinct codes of ``#Dx`` in file order. ``None`` means that the diagnoses are unknown: the line is missing
            or contains no code (for example NaN, Unknown or only commas).
        age: years; 90 for ages above 89 and the code 300; NaN if absent, not a number, negative, or above 130 except 300.
        sex: ``male``, ``female`` or empty.
    """

    codes: tuple[str, ...] | None
    age: float
    sex: str


def parse_comments(text: str) -> HeaderComments:
    """Parse the comments in the text of a header. Invalid values are treated as missing."""
    # the comments come after the signal lines
    text = text[max(text.find("#"), 0) :].replace("\r", "\n")
    codes: dict[str, None] = {}
    age, sex = math.nan, ""
    for key, value in _COMMENT.findall(text):
        word = value.strip().casefold()
        if key.casefold() == "dx":
            codes |= {part.strip(): None for part in value.split(",") if part.strip().casefold() not in _NOTHING}
        elif key.casefold() == "sex":
            sex = sex_of(word) or ""
        else:
            age = _age(word)
    return HeaderComments(tuple(codes) or None, age, sex)


def _age(word: str) -> float:
    if word in _OVER_89:
        return OLDEST
    known = age_of(float(word)) if re.fullmatch(r"\d{1,3}(\.\d*)?", word) else None
    return math.nan if known is None else known


def read_texts(root: Path | str, paths: Sequence[str], workers: int = 8) -> Iterator[str | None]:
    """Read many headers in parallel, and yield their texts in order; ``None`` for a file that cannot be read.

    Args:
        root: folder of the dataset.
        paths: paths of the records relative to the root, without ``.hea``.
        workers: number of threads. Several threads help on a network drive, where most of the time is spent waiting.
    """

    def read(share: Sequence[str]) -> list[str | None]:
        return [_read(f"{root}/{path}.hea") for path in share]

    shares = [paths[begin : begin + _SHARE] for begin in range(0, len(paths), _SHARE)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for texts in pool.map(read, shares):
            yield from texts


def _read(header: str) -> str | None:
    try:
        with Path(header).open("rb") as stream:
            return stream.read(LARGEST_HEADER).decode("utf-8", errors="replace")
    except OSError:
        return None


def header_texts(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the texts of headers, with ``\\n`` as the only line break.

    Args:
        root: folder of the dataset.
        paths: paths of the records relative to the root, without ``.hea``.

    Raises:
        InputError: a header cannot be read. The message gives the number of such headers.
    """
    texts = list(read_texts(root, paths))
    unread = [path for path, text in zip(paths, texts, strict=True) if text is None]
    if unread:
        what = f"{len(unread)} of {len(paths)} headers cannot be read, such as {unread[0]}.hea"
        raise InputError(Problem(str(root), "headers", what, "Check the permissions of the files"))
    return [(text or "").replace("\r", "\n") for text in texts]


def comments_of(root: Path, paths: Sequence[str]) -> list[HeaderComments]:
    """Read and parse the comments of headers; see ``header_texts`` for arguments and errors."""
    return [parse_comments(text) for text in header_texts(root, paths)]


def list_headers(root: Path | str, under: str = "") -> dict[str, frozenset[str]]:
    """Find all WFDB headers below a folder. Links to folders are not followed.

    Args:
        root: folder that paths are relative to.
        under: subfolder of ``root`` to search; by default all.

    Returns:
        A dict sorted by key. Keys are header paths without ``.hea``; values are the names of all files in the folder
        of the header.
    """
    found: dict[str, frozenset[str]] = {}
    for folder, _, files in os.walk(Path(root) / under):
        names = frozenset(files)
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        found |= {f"{prefix}{name[:-4]}": names for name in files if name.endswith(".hea")}
    return dict(sorted(found.items()))

"""Diagnosis codes, age and sex from the comments of WFDB headers, as the PhysioNet/CinC Challenges write them.

``#Age: 74``, ``#Sex: Male``, ``#Dx: 164889003,59118001``: sets that keep their labels there have no table of them. The
rest of a header is not looked at: a set has ten thousands of them, and the reader of recordings checks each one anyway.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
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
"""How PTB-XL, LUDB and their copies write an age that would identify."""

_COMMENT = re.compile(r"^[ \t]*#[ \t]*(age|sex|dx)[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_SHARE = 256
"""Headers that a thread takes at a time."""


@dataclass(frozen=True)
class HeaderComments:
    """What the comments of a header say.

    Args:
        codes: of ``#Dx``, each once, in their order; ``None`` where nothing is stated (no such line, NaN, Unknown, only
            commas), which is not the same as "none of the diagnoses".
        age: in years; 90 for all above 89; NaN where absent, negative or no number of years.
        sex: ``male``, ``female`` or empty.
    """

    codes: tuple[str, ...] | None
    age: float
    sex: str


def parse_comments(text: str) -> HeaderComments:
    """Read the comments of a header's text; what is not understood counts as not stated."""
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


def read_comments(headers: Sequence[Path | str], workers: int = 8) -> list[HeaderComments | None]:
    """Read the comments of many headers.

    Args:
        headers: paths of ``.hea`` files.
        workers: threads; on a network drive the waiting is longer than the parsing.

    Returns:
        One per header, in their order; ``None`` for a file that cannot be read.
    """
    shares = [headers[begin : begin + _SHARE] for begin in range(0, len(headers), _SHARE)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return [found for share in pool.map(_read_share, shares) for found in share]


def _read_share(headers: Sequence[Path | str]) -> list[HeaderComments | None]:
    return [_read(header) for header in headers]


def _read(header: Path | str) -> HeaderComments | None:
    try:
        with Path(header).open("rb") as stream:
            data = stream.read(LARGEST_HEADER)
    except OSError:
        return None
    # comments follow the signal lines
    begin = data.find(b"#")
    return parse_comments(data[max(begin, 0) :].decode("utf-8", errors="replace").replace("\r", "\n"))


def comments_of(root: Path, paths: Sequence[str]) -> list[HeaderComments]:
    """Comments of records that ``find_records`` has found.

    Raises:
        InputError: where headers cannot be read, with their number.
    """
    found = read_comments([root / f"{path}.hea" for path in paths])
    unread = [path for path, comments in zip(paths, found, strict=True) if comments is None]
    if unread:
        what = f"{len(unread)} of {len(paths)} headers cannot be read, such as {unread[0]}.hea"
        raise InputError(Problem(str(root), "headers", what, "Check disk and permissions"))
    return [comments for comments in found if comments is not None]


def find_records(root: Path | str, under: str = "") -> list[str]:
    """WFDB records below a folder.

    Args:
        root: that the result is relative to.
        under: folder below ``root`` to search.

    Returns:
        Paths of the headers without ``.hea``, with ``/``, sorted; links to folders are not followed.
    """
    found: list[str] = []
    for folder, _, files in os.walk(Path(root) / under):
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        found += [f"{prefix}{name[:-4]}" for name in files if name.endswith(".hea")]
    return sorted(found)

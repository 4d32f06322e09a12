"""Headers of the PhysioNet/CinC Challenge 2020 and 2021 releases, which keep everything but the samples there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ecgssl.datasets.public.wfdb_comments import HeaderComments, parse_comments
from ecgssl.io.wfdb.header import LARGEST_HEADER
from ecgssl.progress import progress

_OLD_GAIN = re.compile(rb"^\S+[ \t]+\S+[ \t]+4880(\.0*)?(\(-?\d+\))?(/\S+)?[ \t\r]", re.MULTILINE)
_SHARE = 256
"""Headers that a thread takes at a time."""


@dataclass(frozen=True)
class ChallengeHeader:
    """What a cohort needs of one header; the reader of recordings checks the rest.

    Args:
        path: of the record, relative to the root, without ``.hea``.
        comments: codes, age and sex; ``None`` where the file cannot be read.
        signal_file: that the first signal line names; empty where there is none.
        signal_there: whether that file lies beside the header.
        old_gain: whether a lead has the gain 4880 of the headers before August 2020, with which voltages come out 4.88
            times too small.
    """

    path: str
    comments: HeaderComments | None
    signal_file: str
    signal_there: bool
    old_gain: bool

    @property
    def record(self) -> str:
        """Name of the header's file without suffix."""
        return self.path.rpartition("/")[2]


def read_headers(root: Path, folder: str, workers: int = 8) -> list[ChallengeHeader]:
    """Read all headers below a folder.

    Args:
        root: of the release.
        folder: below it.
        workers: threads; on a network drive the waiting is longer than the parsing.

    Returns:
        In the order of their paths.
    """
    found: list[tuple[str, frozenset[str]]] = []
    for directory, _, files in os.walk(root / folder):
        names = frozenset(files)
        inside = Path(directory).relative_to(root).as_posix()
        found += [(f"{inside}/{name[:-4]}", names) for name in files if name.endswith(".hea")]
    found.sort(key=lambda pair: pair[0])
    shares = [found[begin : begin + _SHARE] for begin in range(0, len(found), _SHARE)]
    out: list[ChallengeHeader] = []
    with (
        ThreadPoolExecutor(max(1, workers)) as pool,
        progress(f"headers of {folder}", len(found), "headers") as advance,
    ):
        for share in pool.map(lambda pairs: _read_share(root, pairs), shares):
            out += share
            advance(len(share))
    return out


def _read_share(root: Path, pairs: Sequence[tuple[str, frozenset[str]]]) -> list[ChallengeHeader]:
    return [_read(root, path, names) for path, names in pairs]


def _read(root: Path, path: str, beside: frozenset[str]) -> ChallengeHeader:
    try:
        with Path(f"{root}/{path}.hea").open("rb") as stream:
            data = stream.read(LARGEST_HEADER)
    except OSError:
        return ChallengeHeader(path, None, "", False, False)
    # comments follow the signal lines
    begin = data.find(b"#")
    lines, comments = (data, b"") if begin < 0 else (data[:begin], data[begin:])
    signal = lines.split(b"\n", 2)[1:2]
    words = signal[0].split(None, 1) if signal else []
    file = words[0].decode("utf-8", errors="replace") if words else ""
    return ChallengeHeader(
        path,
        parse_comments(comments.decode("utf-8", errors="replace").replace("\r", "\n")),
        file,
        file in beside,
        _OLD_GAIN.search(lines) is not None,
    )

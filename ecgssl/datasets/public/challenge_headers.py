"""Parser for the WFDB headers of the PhysioNet/CinC Challenges 2020 and 2021."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ecgssl.datasets.public.wfdb_comments import HeaderComments, list_headers, parse_comments, read_texts
from ecgssl.progress import progress

_GAIN = re.compile(r"^\S+[ \t]+\S+[ \t]+(\d+(?:\.\d*)?)(?:\(-?\d+\))?(?:/\S+)?[ \t\r]", re.MULTILINE)
_OLD_GAIN, _GAIN_NOW = 4880.0, 1000.0


@dataclass(frozen=True)
class ChallengeHeader:
    """Metadata of one header file.

    Args:
        path: path of the record relative to the root, without ``.hea``.
        comments: diagnosis codes, age and sex; ``None`` if the file cannot be read.
        signal_file: signal file in the first signal line; empty if there is none.
        signal_there: whether the signal file is in the folder of the header.
        old_gain: whether a lead has the gain 4880, as in headers before August 2020. This gain is wrong: voltages
            become 4.88 times too small.
        other_gain: whether a lead has a gain other than 4880 and 1000 per mV (current releases). Such a gain can be right or
            wrong: in the release of June 2020, PTB-XL has the gain 200, but its samples are in uV.
    """

    path: str
    comments: HeaderComments | None
    signal_file: str
    signal_there: bool
    old_gain: bool
    other_gain: bool

    @property
    def record(self) -> str:
        """Name of the record, which is the name of its header file without suffix."""
        return self.path.rpartition("/")[2]


def read_headers(root: Path, folder: str, workers: int = 8) -> list[ChallengeHeader]:
    """Read all headers below a folder, sorted by path.

    Args:
        root: folder of the release.
        folder: folder below the root.
        workers: number of threads.
    """
    found = list_headers(root, folder)
    out: list[ChallengeHeader] = []
    with progress(f"headers of {folder}", len(found), "headers") as advance:
        texts = read_texts(root, list(found), workers)
        for (path, names), text in zip(found.items(), texts, strict=True):
            out.append(_parse(path, text, names))
            advance(1)
    return out


def _parse(path: str, text: str | None, files: frozenset[str]) -> ChallengeHeader:
    if text is None:
        return ChallengeHeader(path, None, "", False, False, False)
    # the comments come after the signal lines
    lines = text.partition("#")[0]
    signal = lines.split("\n", 2)[1:2]
    words = signal[0].split(None, 1) if signal else []
    file = words[0] if words else ""
    gains = {float(gain) for gain in _GAIN.findall(lines.partition("\n")[2])}
    there = file in files
    return ChallengeHeader(
        path, parse_comments(text), file, there, _OLD_GAIN in gains, bool(gains - {_OLD_GAIN, _GAIN_NOW})
    )

"""Headers as text, for sets of some hundred recordings that keep diagnoses in comments of their own form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb.header import LARGEST_HEADER


def header_texts(root: Path, paths: Sequence[str]) -> list[str]:
    """Text of headers, every line ended by ``\\n``.

    Args:
        root: of the set.
        paths: of the records below it, without ``.hea``.

    Raises:
        InputError: where headers cannot be read, with their number.
    """
    texts, unread = [], []
    for path in paths:
        try:
            with (root / f"{path}.hea").open("rb") as stream:
                texts.append(stream.read(LARGEST_HEADER).decode("utf-8", errors="replace").replace("\r", "\n"))
        except OSError:
            unread.append(path)
    if unread:
        what = f"{len(unread)} of {len(paths)} headers cannot be read, such as {unread[0]}.hea"
        raise InputError(Problem(str(root), "headers", what, "Check disk and permissions"))
    return texts

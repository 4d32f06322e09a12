"""File names with letters that have two spellings in Unicode: composed (NFC) and decomposed (NFD, as macOS writes)."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize


def as_on_disk(path: Path) -> Path:
    """Return the path of an existing file whose name differs only in Unicode normalisation; otherwise the same path.

    Folders in the path are compared in the same way. The path of a WFDB record without suffix is found by its header.
    """
    if str(path).isascii():
        return path
    try:
        if path.exists():
            return path
        parent = as_on_disk(path.parent) if path.parent != path else path
        names = _names(str(parent), parent.stat().st_mtime_ns)
    except OSError:  # for example, no such folder, or a name that is too long
        return path
    wanted = normalize("NFC", path.name)
    if wanted in names:
        return parent / names[wanted]
    header = names.get(f"{wanted}.hea")
    return path if header is None else parent / header.removesuffix(".hea")


@lru_cache(maxsize=64)
def _names(folder: str, changed: int) -> dict[str, str]:
    """Return a dictionary from the composed (NFC) spelling to the stored spelling of each name in a folder.

    ``changed`` is the modification time of the folder; a new value makes the cache read the folder again.
    """
    return {normalize("NFC", name): name for name in sorted(os.listdir(folder), reverse=True)}  # noqa: PTH208 (names alone)

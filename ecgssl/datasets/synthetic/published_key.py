"""Published keys that hash the ids of simulated patients, and checks for private keys of real cohorts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path

KEY_BYTES = 32
KEY = "patient.key"
README = "README.txt"
MOST_SEEDS = 1 << 16
"""Default number of seeds, counted from 0, whose published keys are compared with a key."""

_HEX = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")
_LARGEST = 200
_SEED = re.compile(r"Generated with seed (\d+):")


def patient_key(seed: int) -> bytes:
    """Return the published key (32 bytes) of the set simulated with this seed; its ``patient.key`` contains the key in hex."""
    return hashlib.sha256(f"ecgssl synthetic patients, seed {seed}".encode()).digest()


@lru_cache(maxsize=64)
def published_seed(key: bytes, more: tuple[int, ...] = (), most: int = MOST_SEEDS) -> int | None:
    """Return the seed whose published key equals ``key``, or ``None`` if none of the tried seeds has this key.

    Args:
        key: key for patient ids.
        more: seeds to try first, such as that of the parameters.
        most: the seeds 0 to ``most`` - 1 are tried next.
    """
    return next((seed for seed in chain(more, range(most)) if patient_key(seed) == key), None)


def key_in(path: Path) -> bytes | None:
    """Return the key for patient ids in a file, which must contain only 64 hex digits; otherwise return ``None``.

    The result is also ``None`` if the file does not exist or cannot be read.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        found = _HEX.fullmatch(path.read_bytes())
    except OSError:
        return None
    return None if found is None else bytes.fromhex(found[1].decode())


def seed_of_file(path: Path, seed: int = 0) -> int | None:
    """Return the seed whose published key a file contains, or ``None`` for another key or no key.

    Args:
        path: file with a key. The seed stated in a ``README.txt`` in the same folder is also tried.
        seed: seed to try in addition to those of ``published_seed``.
    """
    key = key_in(path)
    if key is None:
        return None
    try:
        stated = _SEED.search((path.parent / README).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        stated = None
    return published_seed(key, (seed, *([] if stated is None else [int(stated[1])])))


def private_keys(folders: Iterable[Path | str]) -> Iterator[Path]:
    """Yield all files with a key that is not the published key of a tried seed.

    Args:
        folders: files, or folders that are searched with their subfolders.
    """
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if key_in(path) is not None and seed_of_file(path) is None:
                yield path

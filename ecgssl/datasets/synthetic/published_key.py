"""Published key of the simulated patients, and its distinction from the private keys of real cohorts."""

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
"""Number of seeds that a key is compared with: 0 and above."""

_HEX = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")
_LARGEST = 200
_SEED = re.compile(r"Generated with seed (\d+):")


def patient_key(seed: int) -> bytes:
    """Return the published key of a simulated set, 32 bytes; ``patient.key`` contains it in hex."""
    return hashlib.sha256(f"ecgssl synthetic patients, seed {seed}".encode()).digest()


@lru_cache(maxsize=64)
def published_seed(key: bytes, more: tuple[int, ...] = (), most: int = MOST_SEEDS) -> int | None:
    """Return the seed whose published key this is, or ``None``.

    Args:
        key: key for patient ids.
        more: seeds to try in addition to 0 to ``most`` - 1, such as that of the parameters.
        most: number of seeds to try.
    """
    return next((seed for seed in chain(more, range(most)) if patient_key(seed) == key), None)


def key_in(path: Path) -> bytes | None:
    """Return the key for patient ids that a file contains in hex, or ``None`` if it contains something else."""
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
        path: file with a key. The README of a simulated set next to it states its seed.
        seed: another seed to try, such as that of the parameters.
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
    """Yield the files in folders that contain a key for patient ids other than a published one."""
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if key_in(path) is not None and seed_of_file(path) is None:
                yield path

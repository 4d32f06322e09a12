"""``make clean``: removal of the pipeline's outputs, except private keys for patient ids."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ecgssl.datasets.synthetic.published_key import private_keys


def main(paths: list[str]) -> None:
    """Remove files and folders, except private keys in them, and print the paths of these keys."""
    kept = set(private_keys(path for path in paths if Path(path).exists()))
    for path in map(Path, paths):
        _remove(path, kept)
    for key in sorted(kept):
        print(
            f"kept {key}: it is a key for patient ids. Move it to a folder that is never removed (sets.NAME.patient_key)"
        )


def _remove(path: Path, kept: set[Path]) -> None:
    if path.is_dir() and not path.is_symlink():
        if not any(path in key.parents for key in kept):
            shutil.rmtree(path)
            return
        for item in path.iterdir():
            _remove(item, kept)
    elif path not in kept:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Private temporary folder of a running service. Folders left by killed services are removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgssl.errors import InputError, Problem

_PREFIX = "ecgssl-serve-"
_LOCK = "lock"
_VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""Environment variables for the temporary folder, in the order in which Python reads them."""


@contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """Create a folder that only this user can read, and remove it at the end of the block.

    Folders left by killed services are removed first. Their lock file is no longer locked.

    Args:
        parent: parent folder; the default is ``temporary_parent``.

    Raises:
        InputError: the folder cannot be created, or ``temporary_parent`` raises this error.
    """
    parent = temporary_parent() if parent is None else parent
    for old in parent.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(old)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise _unusable(str(parent), error.strerror or type(error).__name__) from None
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def temporary_parent() -> Path:
    """Return the folder in ``TMPDIR`` (or ``TEMP``, ``TMP``), or the system's temporary folder if none is set.

    Python uses another folder if the folder in the variable cannot be used. Uploads would then be written to a disk that
    the operator did not choose.

    Raises:
        InputError: a variable is set, but its value is not a folder.
    """
    for name in _VARIABLES:
        if value := os.environ.get(name):
            if not Path(value).is_dir():
                raise _unusable(f"{name}={value}", "it is not a folder")
            return Path(value)
    return Path(tempfile.gettempdir())


def _unusable(where: str, why: str) -> InputError:
    what = f"cannot be used for temporary files ({why})"
    return InputError(Problem(where, "temporary folder", what, f"Set {_VARIABLES[0]} to a folder that can be written"))


def _remove_if_abandoned(folder: Path) -> None:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        # a running service has locked the folder, or the folder has already been removed
        return

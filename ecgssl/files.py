"""Atomic writes of files and directories, and canonical JSON.

Temporary files are created in the folder of the final file, so that the final rename stays within one file system. Their
names begin with a dot.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ecgssl.errors import InputError, Problem, cannot_write, write_error_number
from ecgssl.output_lock import exclusive

_KEPT = 40
"""Maximum number of characters of a file name that are used in the name of its temporary file."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_pipe(path: Path) -> None:
    """Raise ``OSError`` if a path is a named pipe or a device, because opening it could wait forever."""
    # regular files are the most common, and the first condition needs one system call for them
    if not path.is_file() and path.exists() and not path.is_dir():
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def require_regular(path: Path) -> None:
    """Check that a path is not a named pipe, a socket or a device. A path that does not exist, or a folder, is accepted.

    Opening a pipe could wait forever, and replacing a device would damage the system.

    Raises:
        InputError: the path is a pipe, a socket or a device.
    """
    try:
        refuse_pipe(path)
    except OSError:
        what = "is a named pipe, a socket or a device, not a regular file"
        raise InputError(Problem(str(path), "file", what, "Use the path of a regular file")) from None


def write_atomic(path: Path | str, data: bytes | str) -> Path:
    """Write a file atomically. Readers see either the old or the new content, even after a crash.

    Args:
        path: file to write; missing parent folders are created. A link is replaced by a file; its target is not changed.
        data: content; text is written as UTF-8 with unchanged line endings.

    Returns:
        ``path``.

    Raises:
        InputError: ``path`` is a folder, a pipe or a device, or cannot be written. The message contains the reason.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(Problem(str(path), "output file", "is a folder", "Use the path of a file"))
    require_regular(path)
    make_folder(path.parent)
    temporary = _sibling(path, "tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise
    _sync(path.parent)
    return path


def make_folder(path: Path | str) -> Path:
    """Create an output folder and its missing parents.

    Returns:
        ``path``.

    Raises:
        InputError: the folder cannot be created, for example because a file has the same name.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if write_error_number(error) is not None:
            raise cannot_write(path, error) from None
        what = f"cannot be created ({error.strerror})"
        raise InputError(Problem(str(path), "output folder", what, "Use a folder that you can write to")) from None
    return path


@contextmanager
def atomic_directory(path: Path | str, *, marker: str | None = None, building: Path | None = None) -> Iterator[Path]:
    """Build a directory under a temporary name and rename it to ``path`` if the block ends without an exception.

    An existing directory stays in place until the new one is complete. After an exception it is unchanged. The path is
    locked meanwhile (``ecgssl.output_lock``), and temporary directories of killed processes are removed if the name of
    ``path`` has at most 40 characters.

    Args:
        path: directory to create or replace.
        marker: file that every directory of this kind contains, such as ``spec.json`` of a store. An existing directory
            without this file is replaced only if it is empty, so a mistyped output path deletes nothing.
        building: directory to write into instead of a temporary one, so that an interrupted run can be resumed. It must be
            on the same file system, may already exist, and is kept after an exception.

    Yields:
        The directory to write into: a temporary directory, or ``building``.

    Raises:
        InputError: ``path`` is a file, is or contains the working or home directory, is not empty and has no ``marker``,
            cannot be created, or is in use by another process. The error is raised before the block runs.
        InputError: the disk is full or read-only. The message contains the free space.
    """
    path = Path.cwd() / path
    _refuse_unsafe(path, marker)
    make_folder(path.parent)
    with exclusive(path):
        # this process has the lock, so the processes that made these directories were killed
        _remove_leftovers(path, "tmp")
        temporary = make_folder(_sibling(path, "tmp") if building is None else building)
        try:
            yield temporary
            for item in [*temporary.rglob("*"), temporary]:
                _sync(item)
            _swap(temporary, path)
        except BaseException as error:
            if building is None:
                shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError) and write_error_number(error) is not None:
                raise cannot_write(path, error) from error
            raise
    _sync(path.parent)


def canonical_json(data: Any, *, digits: int | None = 6, indent: int | None = 2) -> str:
    """Return JSON text in a reproducible form: sorted keys, rounded floats and a final newline.

    Args:
        data: mappings with text keys, lists, tuples, numbers, text, ``None``, paths, NumPy arrays and scalars.
        digits: number of significant digits of floats; ``None`` for all.
        indent: as in ``json.dumps``; ``None`` for one line.

    Raises:
        ValueError: a value is NaN or infinite. The message contains the key; use ``None`` for undefined values.
        TypeError: a value has another type. The message contains the key.
    """
    plain = _plain(data, digits, "")
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(plain, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False) + "\n"


def write_json(path: Path | str, data: Any, *, digits: int | None = 6) -> Path:
    """Write data as canonical JSON, atomically. No file is written if ``canonical_json`` raises an error."""
    return write_atomic(path, canonical_json(data, digits=digits))


def _plain(value: Any, digits: int | None, key: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key or 'value'} is {value}, which JSON does not support; use None for undefined values")
        # add 0.0 to turn -0.0 into 0.0, because their texts differ
        return (value if digits is None else float(f"{value:.{digits}g}")) + 0.0
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"{key or 'mapping'} has the key {name!r}, which is not a string")
        return {name: _plain(item, digits, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, digits, f"{key}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{key or 'value'} is a {type(value).__name__}, which cannot be written as JSON")


def _refuse_unsafe(path: Path, marker: str | None) -> None:
    def refuse(what: str) -> InputError:
        return InputError(Problem(str(path), "output directory", what, "Use a new or an empty directory"))

    if path.exists() and not path.is_dir():
        raise refuse("is a file")
    real = path.resolve()
    if any(real == place or real in place.parents for place in (Path.cwd().resolve(), Path.home().resolve())):
        raise refuse("is or contains the working directory or the home directory")
    if marker and path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise refuse(f"exists, is not empty and has no {marker}, so it is not replaced")


def _swap(building: Path, path: Path) -> None:
    if os.path.lexists(path):
        old = _sibling(path, "old")
        path.rename(old)
        try:
            building.rename(path)
        except BaseException:
            old.rename(path)
            raise
        _remove(old)
    else:
        building.rename(path)
    _remove_leftovers(path, "old")


def _remove_leftovers(path: Path, kind: str) -> None:
    """Remove the directories that killed processes left next to ``path``.

    Nothing is removed if the name of ``path`` is longer than ``_KEPT``. Such names are shortened, so a directory could belong
    to another path.

    Args:
        path: directory that the processes wanted to create.
        kind: ``tmp`` for temporary directories, ``old`` for replaced directories.
    """
    if len(path.name) <= _KEPT:
        left = re.compile(rf"\.{re.escape(path.name)}\.\d+-[0-9a-f]{{8}}\.{kind}")
        for item in [item for item in path.parent.iterdir() if left.fullmatch(item.name)]:
            if item.is_dir() or item.is_symlink():
                _remove(item)


def _remove(old: Path) -> None:
    if old.is_symlink():
        old.unlink(missing_ok=True)
    else:
        # ignore errors, because read-only files (such as links into a DVC cache) must not prevent the replacement
        shutil.rmtree(old, ignore_errors=True)


def _sibling(path: Path, kind: str) -> Path:
    # shorten the name, because file systems limit names to 255 bytes
    return path.with_name(f".{path.name[:_KEPT]}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    # ignore errors, because some file systems cannot synchronise a directory
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Atomic writes of files and directories, and canonical JSON.

Temporary files are in the folder of their target, so that the final rename stays within one file system. Their names begin
with a dot.
"""

from __future__ import annotations

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

from ecgssl.errors import InputError, Problem

_KEPT = 40
"""Characters of a target's name that the name of its temporary holds."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path | str, data: bytes | str) -> Path:
    """Write a file so that a reader, also after a crash, meets the old content or the new, never a part.

    Args:
        path: the file; missing parent folders are made. A link is replaced by a plain file, its target left alone.
        data: the content; text is written as UTF-8 with the line ends it has.

    Returns:
        ``path``.

    Raises:
        InputError: ``path`` is a folder, or its own folder cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(Problem(str(path), "output file", "is a folder", "Use the path of a file"))
    make_folder(path.parent)
    temporary = _sibling(path, "tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return path


def make_folder(path: Path | str) -> Path:
    """Make a folder for output, and those above it, where absent.

    Returns:
        ``path``.

    Raises:
        InputError: the place does not allow it, for example because a file is in the way.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot be made ({error.strerror})"
        raise InputError(
            Problem(str(path), "output folder", what, "Use a place where folders can be created")
        ) from None
    return path


@contextmanager
def atomic_directory(path: Path | str, *, marker: str | None = None, building: Path | None = None) -> Iterator[Path]:
    """Build a directory beside ``path`` and put it in place only when the block ends without an exception.

    An existing directory keeps its name until the new one is complete; after an exception it is untouched.

    Args:
        path: the directory to make or to replace.
        marker: a file that every directory of this kind holds (``spec.json`` of a store). With it, a directory that
            is neither empty nor such a directory is refused, so that a mistyped output path deletes nothing.
        building: the directory to write into, on the same file system, where an interrupted run is to be taken up
            again: it may exist, and after an exception it is left as it is.

    Yields:
        The temporary directory to write into.

    Raises:
        InputError: before the block runs, where ``path`` is a file, the working or home directory or a parent of
            one, holds something else than ``marker`` promises, or cannot be made.
    """
    path = Path.cwd() / path
    _refuse_unsafe(path, marker)
    make_folder(path.parent)
    temporary = make_folder(_sibling(path, "tmp") if building is None else building)
    try:
        yield temporary
        for item in [*temporary.rglob("*"), temporary]:
            _sync(item)
        _swap(temporary, path)
    except BaseException:
        if building is None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(path.parent)


def canonical_json(data: Any, *, digits: int | None = 6, indent: int | None = 2) -> str:
    """The same text for the same content: keys sorted, floats rounded, a line end at the end.

    Args:
        data: mappings with text keys, sequences, numbers, text, ``None``, paths, NumPy arrays and scalars.
        digits: significant digits that floats keep; ``None`` for all of them.
        indent: as in ``json.dumps``; ``None`` for one line.

    Raises:
        ValueError: for NaN or infinity, with the key: JSON has no such number. Write ``None`` for "undefined".
        TypeError: for any other type, with the key.
    """
    plain = _plain(data, digits, "")
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(plain, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False) + "\n"


def write_json(path: Path | str, data: Any, *, digits: int | None = 6) -> Path:
    """Write ``canonical_json`` of ``data`` atomically; nothing is written where it raises."""
    return write_atomic(path, canonical_json(data, digits=digits))


def _plain(value: Any, digits: int | None, key: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key or 'value'} is {value}, which JSON cannot hold; use None where it is undefined")
        # -0.0 and 0.0 are the same number but not the same text.
        return (value if digits is None else float(f"{value:.{digits}g}")) + 0.0
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"{key or 'mapping'} has the key {name!r}, which is not text")
        return {name: _plain(item, digits, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, digits, f"{key}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{key or 'value'} is a {type(value).__name__}, which has no plain form")


def _refuse_unsafe(path: Path, marker: str | None) -> None:
    def refuse(what: str) -> InputError:
        return InputError(Problem(str(path), "output directory", what, "Use a new or an empty directory"))

    if path.exists() and not path.is_dir():
        raise refuse("is a file")
    real = path.resolve()
    if any(real == place or real in place.parents for place in (Path.cwd().resolve(), Path.home().resolve())):
        raise refuse("is or holds the working or the home directory")
    if marker and path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise refuse(f"exists, is not empty and holds no {marker}, so it would not be replaced by its like")


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
    # of replacements that were killed before they had removed it; a name that was cut may be another directory's
    if len(path.name) <= _KEPT:
        left = re.compile(rf"\.{re.escape(path.name)}\.\d+-[0-9a-f]{{8}}\.old")
        for item in [item for item in path.parent.iterdir() if left.fullmatch(item.name)]:
            _remove(item)


def _remove(old: Path) -> None:
    if old.is_symlink():
        old.unlink(missing_ok=True)
    else:
        # Read-only files, as a DVC cache links them, must not keep the new directory from being done.
        shutil.rmtree(old, ignore_errors=True)


def _sibling(path: Path, kind: str) -> Path:
    # Cut, so that a long name stays within the 255 bytes that file systems allow.
    return path.with_name(f".{path.name[:_KEPT]}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    # Not every file system lets a directory be synchronised; the write itself has succeeded.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Lock files that reserve an output for one process. The lock is released if the process dies."""

from __future__ import annotations

import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgssl.errors import InputError, Problem, cannot_write, write_error_number

try:
    import fcntl
except ImportError:  # Windows: outputs are not locked
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Error numbers of file systems that do not support locks; the output is then not locked."""
_PAUSE = 0.05


@dataclass
class OutputLock:
    """Lock of an output by this process. It has no effect if the system or the file system does not support locks.

    Args:
        path: lock file.
        previous: content of the lock file of a process that was killed; empty if there was none.
    """

    path: Path
    previous: dict[str, Any] = field(default_factory=dict)
    _descriptor: int | None = None
    _content: dict[str, Any] = field(default_factory=dict)

    def record(self, **values: Any) -> None:
        """Add values to the lock file. The next process finds them in ``previous`` if this one is killed."""
        self._content |= values
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(self._content).encode(), 0)


_held: dict[Path, tuple[int, OutputLock]] = {}


@contextmanager
def exclusive(out: Path | str, *, lock: Path | None = None, wait: float = 0.0) -> Iterator[OutputLock]:
    """Lock an output for the duration of the block. Nested calls in the same thread return the same lock.

    The output is not locked on Windows and on file systems that do not support locks.

    Args:
        out: output file or folder, which may not exist yet.
        lock: lock file; the default is ``.NAME.lock`` next to the output.
        wait: longest time in s to wait for another process.

    Yields:
        The lock of the output.

    Raises:
        InputError: another process or thread uses the output, or the lock file cannot be written.
    """
    out = Path.cwd() / out
    if not out.name:
        yield OutputLock(out)
        return
    path = out.with_name(f".{out.name}.lock") if lock is None else Path.cwd() / lock
    thread, held = _held.get(path, (0, None))
    if held is not None and thread == threading.get_ident():
        yield held
        return
    made = _make_parents(path)
    owned = _acquire(path, out, wait)
    _held[path] = (threading.get_ident(), owned)
    try:
        yield owned
    finally:
        del _held[path]
        if owned._descriptor is not None:
            # remove the file while it is locked, so that no other process can have locked the same file
            path.unlink(missing_ok=True)
            os.close(owned._descriptor)
        for folder in made:
            # a command that writes nothing leaves no empty folders
            with suppress(OSError):
                folder.rmdir()


def _acquire(path: Path, out: Path, wait: float) -> OutputLock:
    if fcntl is None:
        return OutputLock(path)
    until = time.monotonic() + wait
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            if write_error_number(error) is not None:
                raise cannot_write(out, error) from None
            # the caller cannot create its output either, and reports that
            return OutputLock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                owned = OutputLock(path, _content(path), descriptor)
                owned.record(process=os.getpid(), host=platform.node(), since=int(time.time()))
                return owned
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(descriptor)
                raise InputError(
                    Problem(str(out), "output", _owner(path), "Wait until it ends, or use another output")
                ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _UNSUPPORTED:
                return OutputLock(path)
            raise cannot_write(out, error) from None
        os.close(descriptor)
        time.sleep(_PAUSE)


def _make_parents(path: Path) -> list[Path]:
    """Create the missing parent folders of a file, and return them, innermost first. Errors are ignored."""
    missing = [folder for folder in path.parents if not folder.exists()]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether ``path`` is still the open file. The previous owner may have removed it after it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _content(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _owner(path: Path) -> str:
    about = _content(path)
    who = f"process {about['process']} on {about['host']}" if {"process", "host"} <= about.keys() else "another process"
    try:
        seconds = max(0, int(time.time()) - int(about["since"]))
    except (KeyError, TypeError, ValueError):
        return f"is in use by {who}"
    age = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
    return f"has been in use by {who} for {age}"

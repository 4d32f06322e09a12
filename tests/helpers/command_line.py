"""Runner for the ``ecgssl`` command in this process, as the console script runs it."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecgssl.cli import main


@dataclass(frozen=True)
class Done:
    """Result of a command; ``err`` contains a traceback only after an internal error."""

    code: int
    out: str
    err: str


def ecgssl(*arguments: object) -> Done:
    """Run a command line; an exception that ``main`` does not catch is a bug and fails the test."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ecgssl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, including hidden files: bytes by relative path, ``None`` for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def refused(done: Done, *messages: object) -> None:
    """Check for exit code 2, empty standard output, and standard error that consists of messages with fix."""
    assert (done.code, done.out) == (2, ""), done
    for text in map(str, messages):
        assert text in done.err
    for line in done.err.splitlines():
        assert line.startswith("error: ")
        assert line.count(": ") >= 3
        assert "Traceback" not in line

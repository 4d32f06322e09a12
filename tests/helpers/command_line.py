"""The ``ecgssl`` command in this process, as its console script runs it: exit code, standard output, standard error."""

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
    """How a command ended. ``err`` holds a traceback only where there was a bug."""

    code: int
    out: str
    err: str


def ecgssl(*arguments: object) -> Done:
    """Run a command line; an exception that ``main`` lets through is a bug and reaches the test."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ecgssl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden files included: bytes by relative path, ``None`` for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def refused(done: Done, *told: object) -> None:
    """Exit code 2, nothing on standard output, and every line of standard error is a message with remedy."""
    assert (done.code, done.out) == (2, ""), done
    for text in map(str, told):
        assert text in done.err
    for line in done.err.splitlines():
        assert line.startswith("error: ")
        assert line.count(": ") >= 3
        assert "Traceback" not in line

"""Exceptions of ecgssl. Messages about invalid input or usage contain the file, the field and the fix.

Exit codes of the command line (README, "Exit codes"): 0 success, 1 internal error, 2 invalid input or usage (nothing is
written), 3 success with rejected recordings, 4 stopped early, for example by a signal (the state is saved), 5 training
diverged (no model is published).
"""

from __future__ import annotations

import errno
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ecgssl.extras import EXTRAS, installed, remedy


@dataclass(frozen=True)
class Problem:
    """Description of one problem with an input.

    Args:
        where: file, parameter file or store with the problem.
        field: column, key, row or lead with the problem.
        what: description of the problem, with the invalid value.
        remedy: instruction for fixing the problem.
    """

    where: str
    field: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.what}. {self.remedy}"


class InputError(Exception):
    """Invalid input or usage (exit code 2). The message lists all problems found."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("InputError needs at least one problem")
        super().__init__("\n".join(str(p) for p in self.problems))

    def replace_text(self, old: str, new: str) -> None:
        """Replace a text in all problems, such as a placeholder by the name that the caller knows."""
        replaced = (tuple(part.replace(old, new) for part in astuple(problem)) for problem in self.problems)
        self.problems = tuple(Problem(*parts) for parts in replaced)
        self.args = ("\n".join(str(p) for p in self.problems),)

    def __reduce__(self) -> tuple[type[InputError], tuple[object, ...]]:
        return (type(self), (self.problems,))


class ContractMismatch(InputError):
    """The preprocessing settings of a store, checkpoint or bundle differ from the required settings."""


class RecordingError(InputError):
    """A recording cannot be read or used. It is counted as rejected, with the reason code ``reason``."""

    def __init__(self, reason: str, problem: Problem) -> None:
        self.reason = reason
        super().__init__(problem)

    def __reduce__(self) -> tuple[type[RecordingError], tuple[object, ...]]:
        return (type(self), (self.reason, self.problems[0]))


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_NUMBER = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)


def write_error_number(error: BaseException) -> int | None:
    """Return the error number if an exception reports a full disk, an exceeded quota or file size limit, or a read-only disk.

    Return ``None`` for other exceptions. The number is read from the attribute ``errno``, or from the text of an
    ``OSError`` without this attribute, as raised by pyarrow.
    """
    number = getattr(error, "errno", None)
    if number is None and isinstance(error, OSError) and (found := _NUMBER.search(str(error))):
        number = int(found[1])
    return number if number in (*_FULL, errno.EROFS) else None


def cannot_write(path: Path | str, error: OSError) -> InputError:
    """Return the error for an output that cannot be written, with the reason and, if known, the free disk space."""
    path = Path(path)
    number = write_error_number(error) or error.errno
    what = f"cannot be written ({error.strerror or error}{_free(path)})"
    remedy = "Use a place where files can be created"
    if number in _FULL:
        remedy = "Free disk space, then run the same command again"
    elif number in _REFUSED:
        remedy = "Grant write permission or use another folder, then run the same command again"
    return InputError(Problem(str(path), "output", what, remedy))


def _free(path: Path) -> str:
    there = next((place for place in (path, *path.absolute().parents) if place.is_dir()), None)
    try:
        return "" if there is None else f"; {shutil.disk_usage(there).free / 1e9:.3g} GB free"
    except OSError:
        return ""


class Stopped(Exception):
    """A run stopped early, for example because of SIGTERM or a time limit. Its state is saved."""

    exit_code = 4


class Diverged(FloatingPointError):
    """A training diverged. Its model is not published."""

    exit_code = 5


def require(where: str, *libraries: str, field: str | None = None) -> None:
    """Check that optional libraries are installed. Call it before work starts that needs them.

    Args:
        where: command, file or parameter that needs the libraries.
        libraries: import names, keys of ``ecgssl.extras.EXTRAS``.
        field: field of the error message; the name of the library by default.

    Raises:
        InputError: a library is not installed. The error has one problem per missing extra, with the install command.
    """
    missing: dict[str, str] = {}
    for library in libraries:
        if not installed(library):
            missing.setdefault(EXTRAS[library], library)
    if missing:
        raise InputError(_not_installed(where, library, field) for library in missing.values())


def _not_installed(where: str, library: str, field: str | None = None) -> Problem:
    what = f"{library} is not installed" if field else "is not installed"
    return Problem(where, field or library, what, remedy(library))


def exit_with(main: Callable[[], int | None]) -> None:
    """Run a command and exit. Print each problem of an ``InputError`` on a separate line, without a traceback.

    A failed import of an optional library is printed in the same way, with the command that installs the library.
    """
    try:
        code = _run(main)
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        code = error.exit_code
    except OSError as error:
        # outputs are written in many places; a full or read-only disk is never a bug
        if write_error_number(error) is None:
            raise
        failed = cannot_write(error.filename or Path.cwd(), error)
        print(f"error: {failed}", file=sys.stderr)
        code = failed.exit_code
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        code = stopped.exit_code
    except Diverged as diverged:
        print(f"error: {diverged}", file=sys.stderr)
        code = diverged.exit_code
    sys.exit(code)


def _run(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except ImportError as error:
        program = Path(sys.argv[0])
        command = ["ecgssl", *sys.argv[1:2]] if program.stem in ("ecgssl", "__main__") else [program.name]
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS or installed(library):
            raise
        raise InputError(_not_installed(" ".join(command), library)) from None

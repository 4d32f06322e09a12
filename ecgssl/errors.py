"""Errors in input or usage. Each names the file, the field and the fix.

Exit codes of the command line (README, "Exit codes"): 0 done, 1 internal error, 2 bad input or usage (nothing written),
3 done with rejected recordings, 4 stopped on request with everything saved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem of an input.

    Args:
        where: file, parameter file or store with the problem.
        field: column, key, row or lead with the problem.
        what: description of the problem, with the invalid value.
        remedy: instruction how to fix it.
    """

    where: str
    field: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.what}. {self.remedy}"


class InputError(Exception):
    """Bad input or usage (exit code 2). Lists all problems found."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("InputError needs at least one problem")
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[object, ...]]:
        return (type(self), (self.problems,))


class ContractMismatch(InputError):
    """A store, checkpoint or bundle has other preprocessing settings than required."""


class RecordingError(InputError):
    """A recording cannot be read or used. It is rejected with ``reason`` and counted."""

    def __init__(self, reason: str, problem: Problem) -> None:
        self.reason = reason
        super().__init__(problem)

    def __reduce__(self) -> tuple[type[RecordingError], tuple[object, ...]]:
        return (type(self), (self.reason, self.problems[0]))


class Stopped(Exception):
    """A run was stopped by SIGTERM or a time limit. Its state is saved, and the same command resumes it."""

    exit_code = 4


def exit_with(main: Callable[[], int | None]) -> None:
    """Run a command and exit. Print each problem of an ``InputError`` on a line, without a traceback."""
    try:
        code = main() or 0
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        code = error.exit_code
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        code = stopped.exit_code
    sys.exit(code)

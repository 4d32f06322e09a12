"""Errors of file readers: conversion of parser and system errors to ``RecordingError``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgssl.errors import Problem, RecordingError

AGAIN = "Export or download the file again, or remove it from the cohort"
"""Suggested fix in errors about damaged files."""


def read_error(reason: str, path: Path, field: str, what: str, fix: str = AGAIN) -> RecordingError:
    """Return a ``RecordingError`` for a file that cannot be read.

    Args:
        reason: reason code of the rejection.
        path: path of the file.
        field: part of the file with the error, for example a lead or a header field.
        what: description of the error, without patient data.
        fix: instruction for the user how to fix the error.
    """
    return RecordingError(reason, Problem(str(path), field, what, fix))


@contextmanager
def file_errors(
    path: Path, missing: str = "does not exist", fix: str = "Correct the path of the recording"
) -> Iterator[None]:
    """Convert errors of the operating system inside the ``with`` block to ``RecordingError``.

    Args:
        path: path of the file.
        missing: message for a file that does not exist.
        fix: instruction for a file that does not exist.

    Raises:
        RecordingError: reason ``missing_file`` or ``unreadable``.
    """
    try:
        yield
    except FileNotFoundError:
        raise read_error("missing_file", path, "file", missing, fix) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise read_error("unreadable", path, "file", what, "Check disk and permissions") from error


@contextmanager
def parser_errors(path: Path, library: str) -> Iterator[None]:
    """Convert all exceptions inside the ``with`` block to ``RecordingError``; the block should only call the library.

    The original exception is attached as the cause. Its message is not repeated, because it may contain patient data.
    Warnings of the library are suppressed.

    Raises:
        RecordingError: reason ``unreadable`` for every ``Exception`` except a ``RecordingError``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RecordingError:
        raise
    except Exception as error:
        raise read_error("unreadable", path, "content", f"{library} cannot read it ({type(error).__name__})") from error


def refuse_member(path: Path, member: str | None) -> None:
    """Raise an error with reason ``member`` if a member is selected in a file with a single recording."""
    if member is not None:
        what = "the file contains a single recording"
        raise read_error("member", path, "member", what, "Use the path of the file without #member")

"""SQLite files of MLflow: creation by one process at a time, under a temporary name, and checks before use."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ecgssl.output_lock import exclusive

PREFIX = "sqlite:///"
_LONGEST_WAIT = 180.0
"""Longest time in s to wait for the lock on the database, which another process may hold while it creates the database."""


class UnusableStore(Exception):
    """The tracking store cannot be used; the message contains the remedy."""


@contextmanager
def prepared(uri: str, create: Callable[[str], object]) -> Iterator[None]:
    """Lock the SQLite file of a tracking store for the duration of the block, and create it if it has no tables.

    The file appears under its name when it is complete. Other kinds of stores are not locked.

    Args:
        uri: address of the tracking store.
        create: function that creates all tables of the store at a ``sqlite:///`` address.

    Raises:
        sqlite3.Error, OSError: the file is not a database or cannot be written.
        InputError: another process holds the lock for more than ``_LONGEST_WAIT``.
    """
    if not uri.startswith(PREFIX):
        yield
        return
    name, query, options = uri.removeprefix(PREFIX).partition("?")
    path = Path(name)
    with exclusive(path, wait=_LONGEST_WAIT):
        path.parent.mkdir(parents=True, exist_ok=True)
        # this process has the lock, so the processes that made these files were killed
        for unfinished in path.parent.glob(f".{path.name}.*.new*"):
            unfinished.unlink(missing_ok=True)
        if not _has_tables(path):
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
            create(f"{PREFIX}{temporary}{query}{options}")
            temporary.replace(path)
        yield


def schema_error(uri: str, error: Exception) -> Exception:
    """Return an ``UnusableStore`` with a remedy if ``error`` reports a wrong schema of a SQLite file; else ``error``."""
    if not uri.startswith(PREFIX) or "schema" not in str(error).lower():
        return error
    path = Path(uri.removeprefix(PREFIX).partition("?")[0])
    if _has_runs(path):
        return UnusableStore(f"Run 'mlflow db upgrade {uri}': the database was made by another release of MLflow")
    return UnusableStore(f"Remove {os.path.relpath(path)}: its creation was interrupted, and it contains no runs")


def _has_tables(path: Path) -> bool:
    if not path.exists():
        # raise the reason at once if the file cannot be created, because MLflow would retry for 100 s
        with path.open("ab"):
            pass
        path.unlink()
        return False
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        return bool(connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])


def _has_runs(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return bool(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return False

"""``ecgssl download``: a public set, or a part of it, fetched in parallel, resumable, and verified."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ecgssl.datasets.download.fetch import digest_of, fetch, unpack
from ecgssl.datasets.download.polite import Polite, Refused
from ecgssl.datasets.download.release_files import RemoteFile, choose, list_release
from ecgssl.datasets.download.sources import SOURCES, Source
from ecgssl.errors import InputError, Problem
from ecgssl.files import make_folder
from ecgssl.progress import progress

JOURNAL = ".ecgssl-verified"
"""Beside the files: which were verified, and how they looked then, so that a second run need not read them all."""

MOST_CONNECTIONS = 16
_ASKED = 40
"""Files whose size is asked for before anything is fetched; the whole is estimated from them."""
_UNPACKED = "!unpacked"


@dataclass(frozen=True)
class Plan:
    """What a download would fetch.

    Args:
        files: of the chosen part of the release.
        size: of all of them in bytes; ``None`` where the server does not say.
        exact: whether ``size`` is known, or estimated from some of them.
        advice: what to know before.
    """

    files: tuple[RemoteFile, ...]
    size: int | None
    exact: bool
    advice: str

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        return f"{len(self.files)} files, " + (
            "size unknown" if self.size is None else f"{about}{self.size / 1e9:.3g} GB"
        )


@dataclass(frozen=True)
class DownloadReport:
    """What became of a download.

    Args:
        files: asked for; ``present + fetched + len(failed)``.
        present: that lay there already, verified now or earlier.
        fetched: that were fetched and verified.
        failed: path and reason of those that could not be had.
        received: bytes that came over the network.
        seconds: wall time.
    """

    files: int
    present: int
    fetched: int
    failed: tuple[tuple[str, str], ...]
    received: int
    seconds: float


def download(
    name: str,
    root: Path | str,
    *,
    base_url: str | None = None,
    subsets: Iterable[str] = (),
    connections: int = 4,
    recheck: bool = False,
    tell: Callable[[Plan], None] = lambda plan: None,
    show_progress: bool = True,
    http: Polite | None = None,
) -> DownloadReport:
    """Fetch a public set.

    Interrupted, the same call continues: whole files are not fetched again, broken ones go on where they broke off.

    Args:
        name: of the set, as ``ecgssl.datasets.download.sources.SOURCES`` spells it.
        root: folder of the release; made where absent.
        base_url: a mirror with the same files and the same ``SHA256SUMS.txt``.
        subsets: names or patterns, see ``choose``.
        connections: files fetched at a time, at most ``MOST_CONNECTIONS``.
        recheck: read every file again instead of believing the journal.
        tell: called with the plan before anything is fetched.
        show_progress: draw a bar on a terminal.
        http: another session, for tests.

    Raises:
        InputError: an unknown set, one that cannot be fetched (with what to do instead), no list of files, a subset
            that names none, or too little room on the disk.
    """
    start = time.perf_counter()
    root = Path(root)
    source = _source(name, connections)
    base = base_url or source.base_url
    if source.listing == "sha256sums" and not base.endswith("/"):
        base += "/"
    session = http or Polite(base)
    try:
        files = choose(list_release(session, source, base), source, subsets)
        make_folder(root)
        journal = _read_journal(root / JOURNAL)
        sound = {f.path for f in files if not recheck and _is_noted(root, f, journal)}
        missing = [f for f in files if f.path not in sound]
        plan = replace(_plan(session, missing, source), files=tuple(files))
        tell(plan)
        _require_room(root, plan, missing)
        present, received, failed = _fetch_all(session, root, missing, plan, connections, show_progress)
    finally:
        session.close()
    return DownloadReport(
        files=len(files),
        present=len(sound) + present,
        fetched=len(missing) - present - len(failed),
        failed=tuple(sorted(failed)),
        received=received,
        seconds=time.perf_counter() - start,
    )


def _source(name: str, connections: int) -> Source:
    problems = []
    if not 1 <= connections <= MOST_CONNECTIONS:
        problems.append(Problem("--connections", str(connections), "is out of range", f"Take 1 to {MOST_CONNECTIONS}"))
    source = SOURCES.get(name)
    if source is None:
        problems.append(Problem("set", name, "is not known", f"Sets: {', '.join(SOURCES)}"))
    elif source.manual:
        problems.append(Problem(source.base_url, name, "cannot be fetched for you", source.manual))
    if problems or source is None:
        raise InputError(problems)
    return source


def _plan(http: Polite, files: list[RemoteFile], source: Source) -> Plan:
    stated = [f.size for f in files if f.size is not None]
    if len(stated) == len(files):
        return Plan((), sum(stated), True, source.advice)
    step = max(1, len(files) // _ASKED)
    asked = [size for f in files[::step][:_ASKED] if (size := http.size(f.url)) is not None]
    if not asked:
        return Plan((), None, False, source.advice)
    exact = len(asked) == len(files)
    return Plan((), sum(asked) if exact else round(sum(asked) / len(asked) * len(files)), exact, source.advice)


def _require_room(root: Path, plan: Plan, missing: list[RemoteFile]) -> None:
    free = shutil.disk_usage(root).free
    if plan.size is not None and missing and plan.size > free:
        what = f"{plan.size / 1e9:.3g} GB are to be fetched, {free / 1e9:.3g} GB are free"
        raise InputError(Problem(str(root), "disk", what, "Free some room, or choose a part with --subset"))


def _fetch_all(
    http: Polite, root: Path, files: list[RemoteFile], plan: Plan, connections: int, show_progress: bool
) -> tuple[int, int, list[tuple[str, str]]]:
    """How many were there already, bytes received, and (path, reason) of those that failed."""
    present = received = 0
    failed: list[tuple[str, str]] = []
    lock, stop = threading.Lock(), threading.Event()
    total = None if plan.size is None else round(plan.size / 1e6)
    with (
        progress("download", total, "MB", enabled=show_progress) as show,
        (root / JOURNAL).open("a", encoding="utf-8") as journal,
        ThreadPoolExecutor(connections) as pool,
    ):

        def advance(count: int) -> None:
            nonlocal received
            with lock:
                received += max(count, 0)
                show(count / 1e6)

        def one(remote: RemoteFile) -> bool:
            target = root / remote.path
            if target.is_file() and digest_of(target, remote.algorithm) == remote.digest:
                return True
            fetch(http, remote, target, advance, stop)
            return False

        try:
            for remote, future in _bounded(pool, one, files, 4 * connections):
                try:
                    present += future.result()
                    _note(journal, root, remote)
                except Refused as why:
                    failed.append((remote.path, str(why)))
                except OSError as error:
                    # a full disk is not one file's fault
                    what = f"cannot be written ({error.strerror or error})"
                    raise InputError(Problem(str(root / remote.path), "file", what, "Free some room")) from error
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return present, received, failed


def _bounded(
    pool: ThreadPoolExecutor, work: Callable[[RemoteFile], bool], files: list[RemoteFile], most: int
) -> Iterator[tuple[RemoteFile, Future[bool]]]:
    """Files with their ended work; no more than ``most`` wait at a time, however many there are."""
    waiting: dict[Future[bool], RemoteFile] = {}
    for remote in files:
        waiting[pool.submit(work, remote)] = remote
        if len(waiting) >= most:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future
    while waiting:
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            yield waiting.pop(future), future


def _note(journal: IO[str], root: Path, remote: RemoteFile) -> None:
    target = root / remote.path
    unpacked = ""
    if target.suffix == ".zip":
        unpack(target)
        unpacked = _UNPACKED
    stat = target.stat()
    journal.write(f"{remote.digest} {stat.st_size} {stat.st_mtime_ns} {remote.path}{unpacked}\n")
    journal.flush()


def _read_journal(path: Path) -> dict[str, tuple[str, int, int]]:
    """(digest, size, time of change) of verified files by path; a line cut by a crash is passed over."""
    found: dict[str, tuple[str, int, int]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(" ", 3)
            if len(fields) == 4 and fields[1].isdigit() and fields[2].isdigit():
                found[fields[3]] = (fields[0], int(fields[1]), int(fields[2]))
    return found


def _is_noted(root: Path, remote: RemoteFile, journal: dict[str, tuple[str, int, int]]) -> bool:
    if journal.get(remote.path + _UNPACKED, ("",))[0] == remote.digest:
        return True  # the archive may have been deleted since
    noted = journal.get(remote.path)
    if noted is None or noted[0] != remote.digest:
        return False
    try:
        stat = (root / remote.path).stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == noted[1:]

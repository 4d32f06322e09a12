"""Parallel, resumable download of public datasets with checksum verification."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ecgssl.config.public_sets import PUBLIC_SETS, similar_names
from ecgssl.datasets.download.fetch import digest_of, fetch, unpack
from ecgssl.datasets.download.release_files import RemoteFile, choose, list_release
from ecgssl.datasets.download.session import MOST_CONNECTIONS, Refused, ReleaseSession
from ecgssl.datasets.public.public_set import Source, public_set
from ecgssl.errors import InputError, Problem
from ecgssl.files import make_folder
from ecgssl.output_lock import exclusive
from ecgssl.progress import progress

JOURNAL = ".ecgssl-verified"
"""File in the root folder that lists verified files with size and modification time, so that they are not verified again."""

LOCK = ".ecgssl-download.lock"
"""Lock file in the root folder. A second download into the same folder is an error while a download runs."""

_SAMPLED = 40
"""Maximum number of files whose sizes are requested from the server to estimate the total size."""
_UNPACKED = "!unpacked"


@dataclass(frozen=True)
class Plan:
    """Number and size of the files of a download, reported before it starts.

    Args:
        files: number of selected files, including files that an earlier run has verified.
        size: size in bytes of the files that no earlier run has verified; ``None`` if the server does not report sizes.
        exact: whether ``size`` is exact; otherwise it is estimated from a sample.
        advice: note for the user.
    """

    files: int
    size: int | None
    exact: bool
    advice: str

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        return f"{self.files} files, " + ("size unknown" if self.size is None else f"{about}{self.size / 1e9:.3g} GB")


@dataclass(frozen=True)
class DownloadReport:
    """Result of a download.

    Args:
        files: number of selected files, equal to ``present + fetched + len(failed)``.
        present: number of files that were already on disk with the right checksum, or that an earlier run has unpacked.
        fetched: number of files downloaded and verified.
        failed: path and reason for each file that could not be downloaded or unpacked.
        received: number of bytes received over the network, including bytes that were discarded.
        seconds: duration in s.
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
    on_plan: Callable[[Plan], None] = lambda plan: None,
    show_progress: bool = True,
    session: ReleaseSession | None = None,
) -> DownloadReport:
    """Download a public dataset, and return a report. Files that cannot be downloaded are listed in the report.

    To continue an interrupted download, call this function again. Complete files are kept, and partial files are resumed.

    Args:
        name: name of the dataset (``ecgssl.config.public_sets``).
        root: folder to download to; created if it does not exist.
        base_url: URL of a mirror with the same files and the same list of checksums; by default the URL of the release.
        subsets: names or path patterns of subsets, see ``choose``.
        connections: number of parallel downloads, at most ``MOST_CONNECTIONS``.
        recheck: compute the checksums of all files again, including files verified by an earlier run.
        on_plan: function called with the plan before the download starts.
        show_progress: whether to show a progress bar.
        session: HTTP session, closed at the end; by default a new one.

    Raises:
        InputError: the dataset is unknown or cannot be downloaded automatically (the message contains instructions), the
            list of files cannot be downloaded or is invalid, ``connections`` is out of range, a subset has no files, there is
            too little disk space, a file cannot be written, or another process uses ``root``.
    """
    start = time.perf_counter()
    root = Path(root)
    source = _source(name, connections)
    base = base_url or source.base_url
    if source.listing == "sha256sums" and not base.endswith("/"):
        base += "/"
    session = session or ReleaseSession(base)
    with ExitStack() as stack:
        stack.callback(session.close)
        stack.enter_context(exclusive(root, lock=root / LOCK))
        files = choose(list_release(session, source, base), source, subsets)
        make_folder(root)
        journal = _read_journal(root / JOURNAL)
        verified = {f.path for f in files if not recheck and _is_verified(root, f, journal)}
        missing = [f for f in files if f.path not in verified]
        size, exact = _total_size(session, missing)
        on_plan(Plan(len(files), size, exact, source.advice))
        _require_room(root, size, missing)
        present, received, failed = _fetch_all(session, root, missing, size, connections, show_progress)
    return DownloadReport(
        files=len(files),
        present=len(verified) + present,
        fetched=len(missing) - present - len(failed),
        failed=tuple(sorted(failed)),
        received=received,
        seconds=time.perf_counter() - start,
    )


def _source(name: str, connections: int) -> Source:
    problems = []
    if not 1 <= connections <= MOST_CONNECTIONS:
        problems.append(Problem("--connections", str(connections), "is out of range", f"Use 1 to {MOST_CONNECTIONS}"))
    if name not in PUBLIC_SETS:
        problems.append(Problem("set", name, "is not a public dataset", similar_names(name, tuple(PUBLIC_SETS))))
        raise InputError(problems)
    source = public_set(name).source
    if source.manual:
        problems.append(Problem(source.base_url, name, "cannot be downloaded automatically", source.manual))
    if problems:
        raise InputError(problems)
    return source


def _total_size(session: ReleaseSession, files: list[RemoteFile]) -> tuple[int | None, bool]:
    """Return the total size of files in bytes, and whether it is exact. Unknown sizes are estimated from a sample."""
    stated = [f.size for f in files if f.size is not None]
    if len(stated) == len(files):
        return sum(stated), True
    sample = files[:: max(1, len(files) // _SAMPLED)][:_SAMPLED]
    sizes = [size for f in sample if (size := session.size(f.url)) is not None]
    if not sizes:
        return None, False
    return round(sum(sizes) / len(sizes) * len(files)), len(sizes) == len(files)


def _require_room(root: Path, size: int | None, missing: list[RemoteFile]) -> None:
    free = shutil.disk_usage(root).free
    if size is not None and missing and size > free:
        what = f"the download has {size / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free"
        raise InputError(Problem(str(root), "disk", what, "Free disk space, or select a part with --subset"))


def _fetch_all(
    session: ReleaseSession,
    root: Path,
    files: list[RemoteFile],
    size: int | None,
    connections: int,
    show_progress: bool,
) -> tuple[int, int, list[tuple[str, str]]]:
    """Download and verify files in parallel.

    Returns:
        The number of files that were already on disk with the right checksum, the number of bytes received, and path and
        reason for each failed file.
    """
    present = received = 0
    failed: list[tuple[str, str]] = []
    lock, stop = threading.Lock(), threading.Event()
    total = None if size is None else round(size / 1e6)
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
            fetch(session, remote, target, advance, stop)
            return False

        try:
            for remote, future in _bounded(pool, one, files, 4 * connections):
                try:
                    present += future.result()
                    _note(journal, root, remote)
                except Refused as why:
                    failed.append((remote.path, str(why)))
                except OSError as error:
                    # a write error such as a full disk affects all files, so stop the download
                    what = f"cannot be written ({error.strerror or error})"
                    raise InputError(Problem(str(root / remote.path), "file", what, "Free disk space")) from error
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return present, received, failed


def _bounded(
    pool: ThreadPoolExecutor, work: Callable[[RemoteFile], bool], files: list[RemoteFile], most: int
) -> Iterator[tuple[RemoteFile, Future[bool]]]:
    """Run ``work`` on files in a thread pool, and yield each file with its finished future.

    At most ``most`` futures exist at a time, to save memory for releases with millions of files.
    """
    waiting: dict[Future[bool], RemoteFile] = {}
    for remote in [*files, None]:
        if remote is not None:
            waiting[pool.submit(work, remote)] = remote
        while waiting and (remote is None or len(waiting) >= most):
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
    """Return digest, size and modification time of each verified file by path. Incomplete lines are ignored."""
    found: dict[str, tuple[str, int, int]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(" ", 3)
            if len(fields) == 4 and fields[1].isdigit() and fields[2].isdigit():
                found[fields[3]] = (fields[0], int(fields[1]), int(fields[2]))
    return found


def _is_verified(root: Path, remote: RemoteFile, journal: dict[str, tuple[str, int, int]]) -> bool:
    if journal.get(remote.path + _UNPACKED, ("",))[0] == remote.digest:
        return True  # the archive was unpacked, so the user may have deleted it
    noted = journal.get(remote.path)
    if noted is None or noted[0] != remote.digest:
        return False
    try:
        stat = (root / remote.path).stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == noted[1:]

"""Peak memory of writing and reading a store, by number of recordings. Run ``preprocess.py --memory 1000 20000``.

Each measurement runs in a new process. To save disk space, a large cohort is simulated by repeating a small one under
different names. Every repetition is read, assessed, cleaned and stored.

``rss`` includes pages of mapped files, which the kernel can reclaim. ``anonymous`` is the memory allocated by the
process.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.store import Store

EVERY = 0.05
"""Time between two measurements in s. The peak RSS is recorded by the kernel and does not depend on it."""
BATCH = 256


def repeated(cohort: Cohort, count: int) -> Cohort:
    """Return a cohort of ``count`` recordings that repeats a small cohort under new record and patient IDs."""
    times = -(-count // len(cohort))
    table = pd.concat([_copy(cohort.table, number) for number in range(times)], ignore_index=True)
    return replace(cohort, table=table.head(count), rows=())


def _copy(table: pd.DataFrame, number: int) -> pd.DataFrame:
    return table.assign(**{name: table[name] + f"-{number}" for name in ("record_id", "patient_id")})


def held(process: int | str = "self") -> dict[str, float]:
    """Return the peak ``rss`` and current ``anonymous`` memory of a process in MiB. Empty if the process has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in status.splitlines())
    names = {"rss": "VmHWM", "anonymous": "RssAnon"}
    return {key: int(fields[name].split()[0]) / 1024 for key, name in names.items() if name in fields}


def children() -> list[int]:
    """Return the process ids of the children of this process."""
    lists = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return [int(process) for found in lists for process in found]


def cpu_seconds() -> float:
    """Return the CPU time in s of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class MemoryMonitor:
    """Context manager that measures the peak memory of this process (``parent``) and of its children (``worker``)."""

    def __init__(self) -> None:
        self.peaks: dict[str, dict[str, float]] = {"parent": {}, "worker": {}}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> MemoryMonitor:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self._measure()

    def _run(self) -> None:
        while not self._done.wait(EVERY):
            self._measure()

    def _measure(self) -> None:
        for role, process in [("parent", "self"), *(("worker", str(child)) for child in children())]:
            peaks = self.peaks[role]
            for name, value in held(process).items():
                peaks[name] = max(peaks.get(name, 0.0), value)

    def rounded(self) -> dict[str, dict[str, int]]:
        """Return the peaks in whole MiB. Process types without measurements are omitted."""
        return {role: {name: round(v) for name, v in peaks.items()} for role, peaks in self.peaks.items() if peaks}


def making(cohort: Cohort, params: Params, out: Path) -> dict[str, Any]:
    """Preprocess a cohort into a store, and return peak memory and time."""
    before = {name: round(value) for name, value in held().items()}
    with MemoryMonitor() as monitor:
        report = preprocess(cohort, params, out, bytes(32), progress=False)
    return {"stored": report.stored, "seconds": round(report.seconds, 1), "before": before, **monitor.rounded()}


def reading(out: Path, shuffled: bool) -> dict[str, Any]:
    """Read a whole store once, in stored or shuffled order, and return peak memory and rate."""
    store = Store(out)
    rows = np.arange(len(store))
    if shuffled:
        np.random.default_rng(0).shuffle(rows)
    before = {name: round(value) for name, value in held().items()}
    start = time.process_time()
    with MemoryMonitor() as monitor:
        for begin in range(0, len(rows), BATCH):
            store.signals(rows[begin : begin + BATCH])
    spent = time.process_time() - start
    rate = round(len(rows) / spent)
    return {"recordings": len(rows), "per_cpu_second": rate, "before": before, **monitor.rounded()}


def memory(cohort: Cohort, params: Params, counts: list[int]) -> dict[str, Any]:
    """Return the peak memory in MiB of writing and reading a store, for each number of recordings."""
    figures: dict[str, Any] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "store"
            figures[str(count)] = {
                "making": _alone(making, repeated(cohort, count), params, out),
                "reading": _alone(reading, out, False),
                "reading_shuffled": _alone(reading, out, True),
                "store_bytes": sum(file.stat().st_size for file in out.iterdir()),
            }
    return figures


def _alone(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Call a function in a new process, which imports only the required modules."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()

"""Process pools: worker processes on this machine (loky), or a Dask or Ray cluster.

The number of submitted tasks per process is limited, to limit memory use. loky's executor and the Dask and Ray clients are
called directly instead of through joblib: joblib's result generators submit new tasks even if no result is taken, its Ray
backend was slower than one process, and its Dask backend did not report failures.

The HTTP service does not use these pools (see ``ecgssl.serving.reader_pool``). It must kill a single process after a
timeout, and a pool cannot do this without losing the tasks of the other processes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from joblib import effective_n_jobs
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from ecgssl.errors import InputError, Problem, require

Result = TypeVar("Result")

AHEAD = 2
"""Number of submitted tasks per process: one running and one waiting. ``run_ordered`` allows three."""

PATIENCE = 60.0
"""Time in s to wait for the next result of a Dask cluster. If there is no worker then, the cluster is reported as lost."""

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def run_ordered(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], count: int, workers: int
) -> Generator[Result]:
    """Call a function once per task, in processes of this machine, and yield the results in the order of the tasks.

    New tasks are submitted only when results are taken, so results do not accumulate if the caller is slow.

    Args:
        function: function to call. It must be importable from a module, because worker processes import it.
        tasks: arguments of each call.
        count: number of tasks, which limits the number of processes.
        workers: number of processes; -1 for one per core, 1 to run in the calling process.

    Yields:
        One result per task.

    Raises:
        InputError: a worker process died.
    """
    return _loky(function, iter(tasks), _processes(workers, count), ordered=True)


def run_unordered(
    function: Callable[..., Result],
    tasks: Iterable[tuple[Any, ...]],
    count: int,
    workers: int,
    backend: Literal["loky", "dask", "ray"] = "loky",
    scheduler: str | None = None,
) -> Generator[Result]:
    """Call a function once per task and yield the results as they are completed.

    Args:
        function, tasks, count, workers: see ``run_ordered``. With Dask and Ray, ``workers`` is the number of processes of a
            cluster that is started on this machine.
        backend: backend that runs the tasks.
        scheduler: address of a running Dask or Ray cluster; ``None`` starts one on this machine, unless Ray is already
            connected to a cluster. Not used by loky.

    Yields:
        One result per task, in order of completion. If the generator is closed early, no more tasks are submitted.

    Raises:
        InputError: the backend is not installed, its scheduler cannot be reached, a Dask cluster has lost all
            workers, or a worker process died.
    """
    processes = _processes(workers, count)
    if backend == "dask":
        return _dask(function, iter(tasks), processes, scheduler)
    if backend == "ray":
        return _ray(function, iter(tasks), processes, scheduler)
    return _loky(function, iter(tasks), processes, ordered=False)


def _processes(workers: int, count: int) -> int:
    return max(min(effective_n_jobs(workers), count), 1)


def _loky(
    function: Callable[..., Result], tasks: Iterator[tuple[Any, ...]], processes: int, ordered: bool
) -> Generator[Result]:
    if processes == 1:
        for task in tasks:
            yield function(*task)
        return
    executor = ProcessPoolExecutor(processes, initializer=_ignore_interrupts, env=_ONE_THREAD)
    running: list[Any] = []
    try:
        running.extend(executor.submit(function, *task) for task in islice(tasks, (AHEAD + ordered) * processes))
        while running:
            # a task stays in the list until it ends, so that an interruption kills its worker
            done = next(iter(wait(running[:1] if ordered else running, return_when=FIRST_COMPLETED).done))
            running.remove(done)
            yield done.result()
            running.extend(executor.submit(function, *task) for task in islice(tasks, 1))
    except BrokenProcessPool as error:
        raise _worker_died() from error
    finally:
        # a worker that is killed leaves the semaphores of its libraries, which Python reports as leaked
        executor.shutdown(wait=True, kill_workers=bool(running))


def _ignore_interrupts() -> None:
    """Ignore Ctrl-C in a worker. The terminal sends it to all processes, and the calling process stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _dask(
    function: Callable[..., Result], tasks: Iterator[tuple[Any, ...]], processes: int, scheduler: str | None
) -> Generator[Result]:
    require("store.backend", "dask", "distributed", field="dask")
    import dask
    from distributed import Client, KilledWorker, wait

    local = {"n_workers": processes, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    try:
        _require_answer(scheduler)
        # do not retry the task of a dead worker, because the retry usually kills the next worker too
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            client = Client(scheduler, set_as_default=False) if scheduler else Client(set_as_default=False, **local)
    except (OSError, ValueError) as error:
        raise _unreachable(scheduler, error) from error
    with client:
        running: list[Any] = []
        while True:
            free = AHEAD * max(sum(client.nthreads().values()), 1) - len(running)
            running += [client.submit(function, *task, pure=False) for task in islice(tasks, max(free, 0))]
            if not running:
                return
            try:
                with client.as_current():
                    done, waiting = wait(running, timeout=PATIENCE, return_when="FIRST_COMPLETED")
            except TimeoutError:
                # the timeout is needed, because Dask waits forever for lost workers
                if client.nthreads():
                    continue
                raise InputError(_lost_workers(scheduler)) from None
            running = list(waiting)
            try:
                for future in done:
                    yield future.result()
            except KilledWorker as error:
                raise _worker_died() from error


def _ray(
    function: Callable[..., Result], tasks: Iterator[tuple[Any, ...]], processes: int, scheduler: str | None
) -> Generator[Result]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require("store.backend", "ray", field="ray")
    import ray
    from ray.exceptions import RayError, RayTaskError

    # use the existing cluster inside a Ray job, or if the caller is already connected
    started = scheduler is not None or not ray.is_initialized()
    if started:
        # a small object store is sufficient, because results are small: counts, or tables of at most 64 recordings
        local = {"num_cpus": processes, "include_dashboard": False, "object_store_memory": 1 << 27}
        where = {"address": scheduler} if scheduler else {"address": "local", "_node_ip_address": "127.0.0.1", **local}
        try:
            _require_answer(scheduler)
            ray.init(**where, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreachable(scheduler, error) from error
    try:
        remote = ray.remote(num_cpus=1, max_retries=0)(function)
        ahead = AHEAD * int(ray.cluster_resources().get("CPU", 1))
        running = [remote.remote(*task) for task in islice(tasks, ahead)]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            yield ray.get(done)
            running += [remote.remote(*task) for task in islice(tasks, 1)]
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, InputError) else error from None
    except RayError as error:
        raise _worker_died() from error
    finally:
        if started:
            ray.shutdown()


def _require_answer(scheduler: str | None) -> None:
    """Check that the scheduler accepts connections, if its address has a host and a port. Ray itself would wait minutes."""
    place = urlsplit(scheduler if scheduler and "//" in scheduler else f"//{scheduler or ''}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), timeout=10).close()


def _unreachable(scheduler: str | None, error: Exception) -> InputError:
    what = f"cannot be reached ({type(error).__name__})" if scheduler else f"cannot be started ({error})"
    remedy = "Start the scheduler, correct its address, or remove the address to start a cluster on this machine"
    return InputError(Problem("store.scheduler", scheduler or "local", what, remedy))


def _lost_workers(scheduler: str | None) -> Problem:
    what = f"has had no worker for {PATIENCE:g} s"
    remedy = "Start workers, or check the logs of the lost workers. Run the same command again to continue"
    return Problem("store.scheduler", scheduler or "local", what, remedy)


def _worker_died() -> InputError:
    what = "a worker process died, usually because memory ran out or a library crashed on a file"
    remedy = (
        "Use fewer workers, a smaller store.shard_recordings (preprocess) or a smaller batch (predict, embed). "
        "Run the same command again: preprocess, predict and embed continue where they stopped"
    )
    return InputError(Problem("process pool", "workers", what, remedy))

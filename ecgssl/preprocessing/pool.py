"""Where shards are made: processes of this machine (loky, through joblib), or a Dask or Ray cluster.

A backend is handed a few whole shards more than it has processes, and the next as each is done: tasks are never all in
memory, and no process waits for a slow neighbour. Dask and Ray, which are extras, are called directly. Through joblib
Ray was slower than one process alone, and Dask's failures never came back from a generator of results.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ecgssl.config import StoreParams
from ecgssl.errors import InputError, Problem

Result = TypeVar("Result")

AHEAD = 2
"""Tasks handed over for each process: one that runs and one that waits."""

PATIENCE = 60.0
"""Seconds without any result, and without any worker, after which Dask's workers are taken to be gone."""


def spread(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], count: int, params: StoreParams
) -> Generator[Result]:
    """Call a function once for every task.

    Args:
        function: of a module, so that other processes can import it.
        tasks: its arguments, taken as processes become free.
        count: how many there are; no more processes are started.
        params: ``backend``, ``scheduler`` and ``workers``.

    Yields:
        Results in the order in which they are done. Where the caller stops asking, tasks not yet begun are dropped.

    Raises:
        InputError: where the backend is not installed, its scheduler cannot be reached, its workers are gone, or a
            process died.
    """
    jobs = max(min(effective_n_jobs(params.workers), count), 1)
    if params.backend == "dask":
        return _dask(function, iter(tasks), jobs, params.scheduler)
    if params.backend == "ray":
        return _ray(function, iter(tasks), jobs, params.scheduler)
    return _loky(function, tasks, jobs)


def _loky(function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], jobs: int) -> Generator[Result]:
    with parallel_config("loky", inner_max_num_threads=1):
        # left to itself joblib bundles short tasks, and a bundle is lost where a run is killed
        parallel = Parallel(jobs, batch_size=1, pre_dispatch=AHEAD * jobs, return_as="generator_unordered")
    results = parallel(delayed(function)(*task) for task in tasks)
    try:
        for result in results:  # noqa: UP028 (it is to be closed below, quietly)
            yield result
    except TerminatedWorkerError as error:
        raise _died() from error
    finally:
        with warnings.catch_warnings():
            # of tasks whose results a caller who has seen enough did not ask for
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _dask(
    function: Callable[..., Result], tasks: Iterator[tuple[Any, ...]], jobs: int, scheduler: str | None
) -> Generator[Result]:
    try:
        import dask
        from distributed import Client, KilledWorker, wait
    except ImportError as error:
        raise _absent("dask") from error
    local = {"n_workers": jobs, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    try:
        _require_answer(scheduler)
        # a worker that dies is told of at once, as by the other backends; a repeat would most often kill the next
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
                # Dask itself waits for ever, although its workers may have gone for good
                if client.nthreads():
                    continue
                raise InputError(_deserted(scheduler)) from None
            running = list(waiting)
            try:
                for future in done:
                    yield future.result()
            except KilledWorker as error:
                raise _died() from error


def _ray(
    function: Callable[..., Result], tasks: Iterator[tuple[Any, ...]], jobs: int, scheduler: str | None
) -> Generator[Result]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise _absent("ray") from error
    # inside of a Ray job, or where the caller has connected, that cluster is the one meant
    started = scheduler is not None or not ray.is_initialized()
    if started:
        # results are a few numbers, so the smallest object store does
        local = {"num_cpus": jobs, "include_dashboard": False, "object_store_memory": 1 << 27}
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
        raise _died() from error
    finally:
        if started:
            ray.shutdown()


def _require_answer(scheduler: str | None) -> None:
    """Ray waits for minutes for a cluster that is not there, Dask for half a minute."""
    place = urlsplit(scheduler if scheduler and "//" in scheduler else f"//{scheduler or ''}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), timeout=10).close()


def _absent(backend: str) -> InputError:
    what, remedy = f"{backend} is not installed", f"pip install 'ecgssl[{backend}]', or use the backend loky"
    return InputError(Problem("store.backend", backend, what, remedy))


def _unreachable(scheduler: str | None, error: Exception) -> InputError:
    what = f"cannot be reached ({type(error).__name__})" if scheduler else f"cannot be started ({error})"
    remedy = "Start it, or correct the address; without one, a cluster is started on this machine"
    return InputError(Problem("store.scheduler", scheduler or "local", what, remedy))


def _deserted(scheduler: str | None) -> Problem:
    what = f"has had no worker for {PATIENCE:g} s"
    remedy = "Start workers, or see in their logs why they ended; what is done is kept, the same command goes on"
    return Problem("store.scheduler", scheduler or "local", what, remedy)


def _died() -> InputError:
    what = "a process died, most often because memory ran out or a library failed on a file"
    remedy = "Use fewer workers or a smaller store.shard_recordings; what is done is kept, the same command goes on"
    return InputError(Problem("store", "workers", what, remedy))

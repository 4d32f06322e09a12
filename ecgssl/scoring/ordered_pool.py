"""A function over many tasks in other processes, with results in order and only a few tasks ahead of what was taken.

joblib's generator of results hands out new tasks as others are done, not as results are taken: where the model is slower than
the readers, all recordings would end up in memory.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from ecgssl.errors import InputError, Problem

Result = TypeVar("Result")

AHEAD = 3
"""Tasks in work for each process: one that runs, one that waits, one that is done."""


def in_order(function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], jobs: int) -> Generator[Result]:
    """Call a function once for every task.

    Args:
        function: of a module, so that other processes can import it.
        tasks: its arguments, taken as results are.
        jobs: processes; 1 to stay in this one.

    Yields:
        Results in the order of the tasks.

    Raises:
        InputError: a process died.
    """
    waiting = iter(tasks)
    if jobs == 1:
        for task in waiting:
            yield function(*task)
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    executor = ProcessPoolExecutor(jobs, initializer=_leave_signals, env=threads)
    try:
        running = deque(executor.submit(function, *task) for task in islice(waiting, AHEAD * jobs))
        while running:
            yield running.popleft().result()
            running.extend(executor.submit(function, *task) for task in islice(waiting, 1))
    except BrokenProcessPool as error:
        what = "a process died, most often because memory ran out or a library failed on a file"
        remedy = "Use fewer workers or a smaller batch; what is done is kept, the same command goes on"
        raise InputError(Problem("scoring", "workers", what, remedy)) from error
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _leave_signals() -> None:
    """A Ctrl-C reaches every process of a terminal; the one that hands out the work decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

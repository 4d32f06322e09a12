"""Ordered results of the process pool."""

from __future__ import annotations

from itertools import count as numbers

import pytest
from small_tasks import double

from ecgssl import pool
from ecgssl.errors import InputError
from ecgssl.pool import AHEAD, run_ordered


def test_results_are_in_order_and_few_tasks_are_submitted_ahead():
    taken = []

    def tasks():
        for number in numbers(1):
            taken.append(number)
            yield (number,)

    results = run_ordered(double, tasks(), 1000, 2)
    assert [next(results) for _ in range(20)] == [2 * n for n in range(1, 21)]
    assert len(taken) <= 20 + 2 * (AHEAD + 1)
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_processes_changes_no_result(workers):
    assert list(run_ordered(double, [(1,), (2,), (3,)], 3, workers)) == [2, 4, 6]


def test_a_dead_worker_is_reported():
    with pytest.raises(InputError, match="a worker process died"):
        list(run_ordered(double, [(0,), (1,)], 2, 2))


def test_workers_are_killed_only_if_they_have_work_left(monkeypatch):
    """Python reports the semaphores of a killed worker as leaked at the end of a command."""
    killed: list[bool] = []
    shutdown = pool.ProcessPoolExecutor.shutdown

    def note(executor, wait, kill_workers):
        killed.append(kill_workers)
        shutdown(executor, wait=wait, kill_workers=kill_workers)

    monkeypatch.setattr(pool.ProcessPoolExecutor, "shutdown", note)
    assert list(pool.run_ordered(abs, [(-1,), (-2,)], 2, 2)) == [1, 2]
    unfinished = pool.run_ordered(abs, [(-1,), (-2,), (-3,)], 3, 2)
    assert next(unfinished) == 1
    unfinished.close()
    assert killed == [False, True]

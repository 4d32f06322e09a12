"""Interleaved preparation: each stage runs for a group of recordings before the next stage begins.

The results equal those of preparation one by one, but it is faster. The stages have much code and little arithmetic per
recording, so running one by one evicts the code of each stage from the processor's caches. In groups of 16, preparation
without neurokit2 took three quarters of the time of preparation one by one. Larger groups were not faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ecgssl.preprocessing.prepare import Rejected, Steps

GROUP = 16
"""Largest number of recordings in a group."""
VALUES = 1 << 20
"""Number of signal values at which a group is closed early; 16 recordings of 12 leads, 10 s and 500 Hz have fewer."""

Result = dict[str, Any] | Rejected


def interleave(tasks: Iterable[Steps]) -> Iterator[Result]:
    """Run the preparation of recordings in groups.

    Args:
        tasks: preparations that have not started; they are consumed group by group.

    Yields:
        The results of each preparation, or its rejection, in the order of ``tasks``.
    """
    started: list[Steps | Rejected] = []
    values = 0
    for task in tasks:
        try:
            values += next(task)
            started.append(task)
        except Rejected as rejection:
            started.append(_without_frames(rejection))
        if len(started) == GROUP or values >= VALUES:
            yield from _finish(started)
            started, values = [], 0
    yield from _finish(started)


def _finish(started: list[Steps | Rejected]) -> list[Result]:
    results: dict[int, Result] = {place: task for place, task in enumerate(started) if isinstance(task, Rejected)}
    running = {place: task for place, task in enumerate(started) if not isinstance(task, Rejected)}
    while running:
        for place, task in list(running.items()):
            try:
                next(task)
            except StopIteration as end:
                results[place] = end.value
            except Rejected as rejection:
                results[place] = _without_frames(rejection)
            else:
                continue
            del running[place]
    return [results[place] for place in range(len(started))]


def _without_frames(rejection: Rejected) -> Rejected:
    """Remove the traceback of a rejection, because its frames keep the signals of the group in memory."""
    return rejection.with_traceback(None)

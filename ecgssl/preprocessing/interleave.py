"""Recordings taken through preparation side by side: each stage for a group of them before the next stage begins.

The results are those of one recording after another. The time is not: there is little arithmetic per recording and much
code, and by the time that a stage comes round again the others have driven its code out of the processor's caches. In
groups of sixteen, preparation without neurokit2 took three quarters of the time of one by one; larger groups gained no
more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ecgssl.preprocessing.prepare import Rejected, Steps

GROUP = 16
"""Recordings that are on their way at a time,"""
VALUES = 1 << 20
"""or fewer, where their signals come to this many values: sixteen of twelve leads and 10 s at 500 Hz do not."""

Result = dict[str, Any] | Rejected


def side_by_side(tasks: Iterable[Steps]) -> Iterator[Result]:
    """Take recordings to their end.

    Args:
        tasks: not yet begun; taken as there is room.

    Yields:
        What was found of each or why it cannot be used, in the order of ``tasks``.
    """
    begun: list[Steps | Rejected] = []
    values = 0
    for task in tasks:
        try:
            values += next(task)
            begun.append(task)
        except Rejected as refusal:
            begun.append(_alone(refusal))
        if len(begun) == GROUP or values >= VALUES:
            yield from _finish(begun)
            begun, values = [], 0
    yield from _finish(begun)


def _finish(begun: list[Steps | Rejected]) -> list[Result]:
    ended: dict[int, Result] = {place: task for place, task in enumerate(begun) if isinstance(task, Rejected)}
    running = {place: task for place, task in enumerate(begun) if not isinstance(task, Rejected)}
    while running:
        for place, task in list(running.items()):
            try:
                next(task)
            except StopIteration as end:
                ended[place] = end.value
            except Rejected as refusal:
                ended[place] = _alone(refusal)
            else:
                continue
            del running[place]
    return [ended[place] for place in range(len(begun))]


def _alone(refusal: Rejected) -> Rejected:
    """Without the frames that it passed through, which would hold the signals of its group."""
    return refusal.with_traceback(None)

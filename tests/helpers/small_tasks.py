"""Tasks for pool backends, in a module that worker processes can import."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ecgssl.errors import InputError, Problem
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.preprocessing.shards import ShardResult, Work, make_shard


def double(number: int) -> int:
    """Return twice the number; raise InputError for a negative number and end the process for zero."""
    if number < 0:
        raise InputError([Problem("task", str(number), "is negative", "Use another"), Problem("a", "b", "c", "d")])
    if number == 0:
        os._exit(1)
    return 2 * number


def divide(number: int) -> float:
    """Return the reciprocal; zero raises ZeroDivisionError, which is not an expected error."""
    return 1 / number


def make_first_shards(work: Work, number: int, first: int, items: Sequence[RecordingRequest]) -> ShardResult:
    """Run ``make_shard``, or end the process if any shard is finished."""
    if any(work.parts.glob("*.arrow")):
        os._exit(1)
    return make_shard(work, number, first, items)

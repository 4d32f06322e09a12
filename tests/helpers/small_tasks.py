"""Tasks for backends, in a module that their processes can import."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ecgssl.errors import InputError, Problem
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.preprocessing.shards import ShardResult, Work, make_shard


def double(number: int) -> int:
    """Twice as much; of a negative number a named error, of zero the end of the process."""
    if number < 0:
        raise InputError([Problem("task", str(number), "is negative", "Give another"), Problem("a", "b", "c", "d")])
    if number == 0:
        os._exit(1)
    return 2 * number


def divide(number: int) -> float:
    """Its inverse; of zero an error that is a bug."""
    return 1 / number


def make_first_shards(work: Work, number: int, first: int, items: Sequence[RecordingRequest]) -> ShardResult:
    """``make_shard``, until any shard is done; then the end of the process."""
    if any(work.parts.glob("*.arrow")):
        os._exit(1)
    return make_shard(work, number, first, items)

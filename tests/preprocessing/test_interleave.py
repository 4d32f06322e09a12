"""Interleaved preparation: same results as one by one, and few recordings in memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from store_cohort import params

from ecgssl.preprocessing.interleave import GROUP, VALUES, interleave
from ecgssl.preprocessing.prepare import Rejected, prepare_request
from ecgssl.preprocessing.request import recording_requests
from ecgssl.preprocessing.shards import Work, make_shard, read_part


class Signal:
    """Stand-in for a large array."""


def way(number, stages, values, begun, ended, signals=None):
    """Stages of a recording; every fifth is rejected after its last stage, every seventh immediately."""
    begun.append(number)
    signal = Signal()
    if signals is not None:
        signals.append(weakref.ref(signal))
    if number % 7 == 6:
        ended.append(number)
        raise Rejected("read", "header", str(number))
    for _ in range(stages):
        yield values
    ended.append(number)
    if number % 5 == 4:
        raise Rejected("signal", "flat", str(number))
    return {"number": number}


@pytest.mark.parametrize("values", [0, VALUES // 4, VALUES])
def test_order_is_kept_and_few_are_begun_at_a_time(values):
    begun, ended, most = [], [], 0
    # different numbers of stages, so that the order of completion differs
    tasks = (way(number, 1 + number * 3 % 4, values, begun, ended) for number in range(50))
    results = []
    for result in interleave(tasks):
        results.append(result)
        most = max(most, len(begun) - len(results) + 1)
    reported = [int(r.args[0].split(": ")[-1]) if isinstance(r, Rejected) else r["number"] for r in results]
    assert reported == begun == list(range(50))
    assert sorted(ended) == begun
    assert (ended == begun) == (values == VALUES)
    refused = [number for number, result in enumerate(results) if isinstance(result, Rejected)]
    assert refused == [number for number in range(50) if number % 7 == 6 or number % 5 == 4]
    # with large recordings, those rejected immediately do not occupy a slot
    assert most == {0: GROUP, VALUES // 4: 5, VALUES: 2}[values]


def test_a_refusal_keeps_no_signal():
    signals = []
    gc.disable()
    try:
        results = list(interleave(way(number, 3, 1, [], [], signals) for number in range(40)))
        assert len(results) == len(signals) == 40
        assert [reference() for reference in signals] == [None] * 40
    finally:
        gc.enable()


def test_a_bug_is_not_a_refusal():
    def broken():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(interleave([broken()]))


def test_a_shard_holds_what_is_found_one_by_one(cohort, tmp_path):
    settings = params()
    items = recording_requests(cohort, 0, len(cohort))
    (tmp_path / "shards").mkdir()
    (tmp_path / "parts").mkdir()
    work = Work(tmp_path / "shards", tmp_path / "parts", settings.signal, settings.quality, settings.store.lsb)
    made = make_shard(work, 0, 0, items)
    shard, part = np.load(work.shard(0)), read_part(work.part(0))[0].to_pylist()
    signals, reasons = [], []
    for item, row in zip(items, part, strict=True):
        out = np.empty(shard.shape[1:], dtype=np.int16)
        try:
            found = prepare_request(item, settings.signal, settings.quality, settings.store.lsb, out)
        except Rejected as refusal:
            found = {"stage": refusal.stage, "reason": refusal.reason, "detail": refusal.detail}
            reasons.append(refusal.reason)
        else:
            signals.append(out)
        assert found.items() <= row.items()
    np.testing.assert_array_equal(shard, signals)
    assert made.rejected == len(reasons) == 4

"""Sets on which a model of another set can be evaluated."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from small_cohort import small_store

from ecgssl.config import Target
from ecgssl.finetuning.across_sets import held_out_split, known_values, sets_with_targets


def store(targets: tuple[str, ...], kinds: dict[str, Target] | None = None, test: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        targets=targets, kinds=kinds or {}, rows=lambda split: np.zeros(test * (split == "test"), int)
    )


def test_all_targets_of_the_same_kind_are_needed() -> None:
    number = Target(kind="regression", unit="mmHg")
    stores = {
        "own": store(("af", "pressure", "mi"), {"pressure": number}),
        "equal": store(("pressure", "af"), {"pressure": number}),
        "fewer": store(("af",)),
        "other_kind": store(("af", "pressure")),
    }
    assert sets_with_targets(stores, ["af", "pressure"], "own") == ["equal"]
    assert sets_with_targets(stores, ["af"], "own") == ["equal", "fewer", "other_kind"]
    assert sets_with_targets(stores, ["mi"], "own") == []


def test_the_test_split_is_used_if_there_is_one() -> None:
    assert held_out_split(store(("af",))) == "test"
    assert held_out_split(store(("af",), test=0)) is None


def test_known_values_are_counted_in_the_split(tmp_path) -> None:
    own = small_store(tmp_path)
    table = own.index
    for split, part in ((None, table), ("test", table[table["split"] == "test"])):
        assert known_values(own, ["HIGH"], split) == part["HIGH"].notna().sum() > 0
    assert held_out_split(own) == "test"

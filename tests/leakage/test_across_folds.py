"""Shared patients and copies across the folds of a cross-validation are counted as comparing every pair counts them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from bare_store import bare_store

from ecgssl.leakage.across_folds import count_across_folds
from ecgssl.leakage.overlap import in_words

WAVEFORMS = (0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7, 7)
PATIENTS = (0, 0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8)
ONE = [0, 0, 1, 2, 0, 1, 1, 1, 2, 2, 0, 0]
OTHER = [1, 1, 0, 0, 2, 1, 1, 1, 0, 0, 2, 1]
DIVIDED = [0, 1, 2, 2, 0, 1, 1, 2, 0, 0, 1, 1]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return bare_store(tmp_path_factory.mktemp("folds") / "s", WAVEFORMS, patients=PATIENTS)


def expected(names, rows, folds) -> int:
    found = set()
    for fold in np.transpose(folds):
        for (i, row), (j, other) in permutations(enumerate(rows), 2):
            if names[row] == names[other] and fold[i] != fold[j]:
                found.add(row)
    return len(found)


@pytest.mark.parametrize("folds", [[ONE], [OTHER], [ONE, OTHER], [DIVIDED, ONE]])
@pytest.mark.parametrize("rows", [range(12), (0, 1, 2, 5, 6, 7, 8, 11)])
def test_counts_are_those_of_every_pair(store, folds, rows):
    rows = np.array(rows)
    chosen = np.array(folds)[:, rows].T
    found = count_across_folds(store, rows, chosen)
    assert found["recordings"] == len(rows)
    assert found["by_patient"] == expected(PATIENTS, rows, chosen)
    assert found["by_waveform"] == expected(WAVEFORMS, rows, chosen)


def test_copies_are_stated_with_the_result_of_the_overlap_check(store):
    found = count_across_folds(store, np.arange(12), np.array([ONE]).T)
    said = in_words({"not_checked": "nothing was pretrained", "across_folds": found})
    assert said.endswith("; 0 of 12 recordings share their patient with another fold, 2 have a copy in another fold")


def test_a_store_without_codes_states_that_copies_were_not_searched(store, monkeypatch):
    monkeypatch.setattr(store, "index", store.index.drop(columns="waveform_hash"))
    found = count_across_folds(store, np.arange(12), np.array([ONE]).T)
    assert found["by_waveform"] is None
    assert "copies in other folds were not searched" in in_words({"not_checked": "x", "across_folds": found})

"""A corpus of several stores gives the recordings of its stores, and its patients are those of comparable stores."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest
import torch
from bare_store import SPEC, bare_store

from ecgssl.errors import ContractMismatch
from ecgssl.store.corpus import Corpus
from ecgssl.training.batches import load_batch


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return three stores; patient 3 is in all, and the first two have comparable patients."""
    folder = tmp_path_factory.mktemp("stores")
    splits = ["train", "val", "train", "test"]
    return {
        "a": bare_store(folder / "a", range(4), splits, numbering="one", labels={"AF": [0, 1, np.nan, 1]}),
        "b": bare_store(folder / "b", range(3, 8), [*splits, ""], numbering="one", shard=2),
        "c": bare_store(
            folder / "c", range(3, 6), "train", numbering="other", labels={"AF": [1, 0, 1], "MI": [0, 0, 1]}
        ),
    }


def test_rows_of_a_corpus_are_the_recordings_of_its_stores(stores):
    corpus = Corpus(stores)
    rows = np.array([11, 0, 4, 8, 3, 9, 0])
    assert corpus.set_of(rows).tolist() == [2, 0, 1, 1, 0, 2, 0]
    assert corpus.store_row(rows).tolist() == [2, 0, 0, 4, 3, 0, 0]
    own = [("c", 2), ("a", 0), ("b", 0), ("b", 4), ("a", 3), ("c", 0), ("a", 0)]
    expected = np.concatenate([stores[name].signals(np.array([row])) for name, row in own])
    np.testing.assert_array_equal(corpus.signals(rows), expected)
    assert corpus.lead_mask(rows).shape == (7, 12)
    assert corpus.recorded(rows).tolist() == [SPEC.samples] * 7
    batch = load_batch(corpus, rows, torch.device("cpu"))
    assert batch.lead_mask is None
    assert batch.x.shape == (7, 12, SPEC.samples)
    for wrong in ([12], [-1]):
        with pytest.raises(IndexError):
            corpus.signals(np.array(wrong))


def test_splits_lack_the_rows_that_are_left_out(stores):
    corpus = Corpus(stores, {"a": np.array([2, 1]), "c": np.array([0, 1, 2])})
    assert corpus.rows("train").tolist() == [0, 4, 6]
    assert corpus.rows("val").tolist() == [5]
    assert corpus.rows_of("c", "train").tolist() == []
    assert corpus.described["sets"]["a"] == {"set": "a", "train": 1, "val": 0, "test": 1}
    assert (corpus.described["set"], corpus.described["train"]) == ("a, b, c", 3)
    with pytest.raises(ValueError, match="left_out"):
        Corpus(stores, {"d": np.array([0])})


def test_patients_are_shared_by_sets_with_one_numbering_only(stores):
    codes = Corpus(stores).patients
    assert codes[3] == codes[4]
    assert len(set(codes.tolist())) == 4 + 5 + 3 - 1
    np.testing.assert_array_equal(Corpus.of(stores["a"]).patients, stores["a"].patients)


def test_targets_of_stores_without_them_are_unknown(stores):
    corpus = Corpus(stores)
    expected = [[0, 1, np.nan, 1, *[np.nan] * 5, 1, 0, 1], [*[np.nan] * 9, 0, 0, 1]]
    np.testing.assert_array_equal(corpus.targets(["AF", "MI"]).T, expected)
    assert corpus.target_names == ("AF", "MI")


def test_few_files_are_open_at_once(stores, monkeypatch):
    """The stores of a corpus share the limit, and a copy for a thread has separate maps."""
    monkeypatch.setattr("ecgssl.store.store._most_maps", lambda: 6)
    corpus = Corpus({name: copy(store) for name, store in stores.items()})
    corpus.signals(np.arange(len(corpus)))
    assert [len(store._maps) for store in corpus.stores.values()] == [1, 2, 1]
    assert all(not store._maps for store in copy(corpus).stores.values())


def test_different_settings_are_refused_with_both_values(stores, tmp_path):
    fifty = SPEC.clean.model_copy(update={"mains": 50})
    other = bare_store(tmp_path / "other", [0], spec=SPEC.model_copy(update={"duration": 4.0}))
    third = bare_store(tmp_path / "third", [0], spec=SPEC.model_copy(update={"clean": fifty}))
    with pytest.raises(ContractMismatch) as caught:
        Corpus({**stores, "other": other, "third": third})
    found = [(p.field, p.what.split(" (")[0]) for p in caught.value.problems]
    assert found == [
        ("signal contract: duration", "5.0 here, 4.0 there"),
        ("signal contract: clean.mains", f"{SPEC.clean.mains!r} here, 50 there"),
    ]
    assert all("leave out one of the sets" in p.remedy for p in caught.value.problems)
    assert str(other.path) in caught.value.problems[0].where

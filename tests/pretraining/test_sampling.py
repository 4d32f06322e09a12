"""Sampling: a function of seed and step, with the shares that the parameters ask for."""

from __future__ import annotations

import numpy as np
import pytest
from bare_store import bare_store
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.errors import InputError
from ecgssl.pretraining.sampling import BLOCK, Sampler, largest_remainder
from ecgssl.store.corpus import Corpus
from ecgssl.training.batches import rows_at


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return three sets with 7, 30 and 2 recordings for training."""
    folder = tmp_path_factory.mktemp("sets")
    sizes = {"a": 7, "b": 30, "c": 2}
    return Corpus({name: bare_store(folder / name, range(size)) for name, size in sizes.items()})


@pytest.mark.parametrize("sampling", ["proportional", "balanced", {"a": 2.0}])
def test_one_set_has_the_rows_of_earlier_releases(corpus, sampling):
    one = Corpus({"a": corpus.stores["a"]})
    sampler = Sampler(one, sampling, 5, seed=11)
    for step in (0, 1, 2, 40, 3):
        np.testing.assert_array_equal(sampler(step), rows_at(one.rows("train"), 5, 11, step))


def test_proportional_uses_every_recording_equally_often(corpus):
    sampler = Sampler(corpus, "proportional", 13, seed=1)
    np.testing.assert_array_equal(sampler(7), rows_at(corpus.rows("train"), 13, 1, 7))
    seen = np.concatenate([sampler(step) for step in range(39)])
    assert np.bincount(seen).tolist() == [13] * 39


@pytest.mark.parametrize(
    ("sampling", "counts"), [("balanced", [334, 333, 333]), ({"c": 1.0, "a": 7.0, "b": 2.0}, [700, 200, 100])]
)
def test_shares_are_exact_in_every_block(corpus, sampling, counts):
    sampler = Sampler(corpus, sampling, 125, seed=4)
    assert list(sampler.shares.values()) == [count / 1000 for count in counts]
    for block in range(2):
        rows = np.concatenate([sampler(8 * block + step) for step in range(8)])
        assert len(rows) == BLOCK
        assert np.bincount(corpus.set_of(rows)).tolist() == counts
    # within a set, recordings are used equally often, apart from the epoch that has begun
    seen = np.bincount(np.concatenate([sampler(step) for step in range(16)]), minlength=len(corpus))
    for name in corpus.names:
        rows = corpus.rows_of(name, "train")
        assert np.ptp(seen[rows]) <= 1


@settings(max_examples=6, deadline=None)
@given(step=st.integers(0, 300), batch=st.sampled_from([4, 10, 999, 2500]), seed=st.integers(0, 2**40))
def test_batches_are_sections_of_one_sequence(corpus, step, batch, seed):
    """The sequence does not depend on the batch size or on the steps that were asked for before."""
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    singles = Sampler(corpus, weights, 1, seed)
    found = Sampler(corpus, weights, batch, seed)(step)
    some = sorted({0, batch // 2, batch - 1})
    assert found[some].tolist() == [int(singles(step * batch + place)[0]) for place in some]


def test_order_changes_with_seed_and_epoch(corpus):
    one, other = (np.concatenate([Sampler(corpus, "balanced", 500, seed)(k) for k in range(2)]) for seed in (1, 2))
    assert not np.array_equal(one, other)
    first, second = (part[corpus.set_of(part) == 1][:30] for part in np.split(one, 2))
    assert not np.array_equal(first, second)


def test_a_set_without_recordings_is_not_sampled(corpus):
    left = Corpus(corpus.stores, {"b": np.arange(30)})
    sampler = Sampler(left, "balanced", 1000, seed=0)
    assert sampler.shares == {"a": 0.5, "c": 0.5}
    assert set(left.set_of(sampler(0)).tolist()) == {0, 2}


def test_weights_that_cannot_be_used_are_all_listed(corpus):
    left = Corpus(corpus.stores, {"a": np.arange(7)})
    with pytest.raises(InputError) as caught:
        Sampler(left, {"x": 1.0, "a": 1.0, "b": 0.0005}, 4, seed=0)
    fields = [(p.field.removeprefix("pretrain.sampling."), p.what) for p in caught.value.problems]
    assert fields == [
        ("x", "is not a set of the corpus"),
        ("c", "has no weight"),
        ("a", "has a weight, but no recordings are left in split train"),
        ("b", "is 0.00025 of the sum of weights"),
    ]
    assert "The sets are a, b, c" in caught.value.problems[0].remedy
    with pytest.raises(InputError, match=r"sampling\.b: is -1"):
        Sampler(corpus, {"a": 1.0, "b": -1.0, "c": 1.0}, 4, seed=0)


def test_largest_remainder():
    assert largest_remainder(np.array([1 / 3, 1 / 3, 1 / 3]), 1000).tolist() == [334, 333, 333]
    assert largest_remainder(np.array([0.416, 0.338, 0.246]), 10).tolist() == [4, 3, 3]


@pytest.mark.parametrize("sampling", ["proportional", {"a": 1.0, "b": 3.0}])
def test_random_window_draws_one_row_of_each_recording_per_epoch(tmp_path, sampling):
    stores = {name: bare_store(tmp_path / name, range(12)) for name in ("a", "b")}
    # two recordings with one and five windows, and two with three; the rows of set b start at 12
    stores["a"].recording_of = np.repeat([0, 1, 6, 9], [1, 5, 3, 3])
    stores["b"].recording_of = np.arange(12)
    corpus = Corpus(stores)
    sampler = Sampler(corpus, sampling, 16, seed=3, windows="random")
    assert sampler.count == 16
    epochs = np.stack([sampler(step) for step in range(200)])
    np.testing.assert_array_equal(epochs[7], Sampler(corpus, sampling, 16, seed=3, windows="random")(7))
    halves = np.concatenate([Sampler(corpus, sampling, 8, 3, "random")(step) for step in (14, 15)])
    np.testing.assert_array_equal(epochs[7], halves)
    recordings = np.concatenate([stores["a"].recording_of, 12 + np.arange(12)])
    if sampling == "proportional":
        assert all(len(set(recordings[epoch])) == 16 for epoch in epochs)
    counts = np.bincount(epochs.ravel(), minlength=24)
    # every window of a recording is drawn about equally often
    assert counts[1:6].min() > 0.5 * counts[1:6].mean()
    assert abs(counts[0] - counts[1:6].sum()) <= 0.05 * counts[0]


def test_random_window_of_single_windows_is_the_order_of_all(corpus):
    for step in (0, 5):
        np.testing.assert_array_equal(
            Sampler(corpus, "balanced", 9, 2, "random")(step), Sampler(corpus, "balanced", 9, 2)(step)
        )

"""Sampling of pretraining recordings from one or more sets.

The rows of a step are a function of the seed and the step. They do not depend on shards, processes or accumulated pieces.
Therefore a resumed run sees the same recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.store.corpus import Corpus
from ecgssl.training.batches import EpochOrder

BLOCK = 1000
"""Number of consecutive recordings in which every set has a fixed number of recordings, if sets have weights."""

Sampling = Literal["proportional", "balanced"] | Mapping[str, float]
"""``proportional``: every recording equally often; ``balanced``: every set equally often; or a weight per set."""


class Sampler:
    """Rows of every step of a pretraining run.

    With ``proportional``, every epoch is a random permutation of all rows. Otherwise, every block of ``BLOCK`` recordings
    contains a fixed number of recordings of each set in random order, and each set is passed in random permutations.

    Args:
        corpus: recordings; the rows of split ``train`` are used.
        sampling: how often each set is used. Weights are relative; sets without recordings are not used.
        batch_size: number of recordings per step, over all processes and pieces.
        seed: seed of the run.
        windows: ``all`` uses every window of a long recording; ``random`` one random window of it per epoch.

    Attributes:
        shares: share of each set in the sampled recordings, by name.
        count: number of rows that an epoch of ``proportional`` has: windows, or recordings for ``random``.

    Raises:
        InputError: weights do not name exactly the sets of the corpus, a weight is not positive or too small, or a set with
            a weight has no recordings; all such problems are listed.
    """

    def __init__(
        self,
        corpus: Corpus,
        sampling: Sampling,
        batch_size: int,
        seed: int,
        windows: Literal["all", "random"] = "all",
    ) -> None:
        rows = {name: corpus.rows_of(name, "train") for name in corpus.names}
        rows = {name: part for name, part in rows.items() if len(part)}
        self._batch_size, self._seed = batch_size, seed
        if isinstance(sampling, Mapping):
            _require_weights(sampling, corpus.names, rows)
        recordings = rows if windows == "all" else {name: _recordings(corpus, name, rows[name]) for name in rows}
        sizes = {name: len(np.unique(part)) for name, part in recordings.items()}
        self.count = sum(sizes.values())
        if sampling == "proportional" or len(rows) <= 1:
            whole, groups = (np.concatenate([*parts.values(), np.zeros(0, np.int64)]) for parts in (rows, recordings))
            self.shares = {name: size / self.count for name, size in sizes.items()}
            self._orders = [_order(whole, groups, [seed])]
            self._counts = np.array([BLOCK])
        else:
            weights = np.array([1.0 if isinstance(sampling, str) else sampling[name] for name in rows])
            self._counts = largest_remainder(weights / weights.sum(), BLOCK)
            self.shares = dict(zip(rows, (self._counts / BLOCK).tolist(), strict=True))
            self._orders = [_order(part, recordings[name], [seed, _number(name)]) for name, part in rows.items()]

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Return the rows (batch_size,) of a step, counted from 0."""
        position = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        if len(self._orders) == 1:
            return self._orders[0].at(position)
        out = np.empty(len(position), dtype=np.int64)
        blocks, places = np.divmod(position, BLOCK)
        for block in np.unique(blocks).tolist():
            here = blocks == block
            order = np.random.default_rng([self._seed, BLOCK, block]).permutation(
                np.repeat(np.arange(len(self._counts)), self._counts)
            )
            found = np.empty(BLOCK, dtype=np.int64)
            for number, (rows, count) in enumerate(zip(self._orders, self._counts.tolist(), strict=True)):
                found[order == number] = rows.at(np.arange(block * count, (block + 1) * count))
            out[here] = found[places[here]]
        return out


class _RandomWindow:
    """Endless sequence of rows in which every epoch has one random row of each recording, in random order."""

    def __init__(self, rows: NDArray[np.int64], recordings: NDArray[np.int64], seed: list[int]) -> None:
        self._rows, self._seed = rows[np.argsort(recordings, kind="stable")], seed
        self._counts = np.unique(recordings, return_counts=True)[1]
        self._first = np.cumsum(self._counts) - self._counts
        self._order = EpochOrder(np.arange(len(self._counts)), seed)
        self._chosen: tuple[int, NDArray[np.int64]] = -1, self._first

    def at(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows (B,) at positions (B,), counted from 0."""
        which, epochs = self._order.at(position), position // len(self._counts)
        out = np.empty(len(position), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            out[here] = self._windows(epoch)[which[here]]
        return out

    def _windows(self, epoch: int) -> NDArray[np.int64]:
        if self._chosen[0] != epoch:
            # a third number separates this generator from that of the order
            drawn = np.random.default_rng([*self._seed, epoch, 1]).random(len(self._counts))
            self._chosen = epoch, self._rows[self._first + (drawn * self._counts).astype(np.int64)]
        return self._chosen[1]


def _order(rows: NDArray[np.int64], recordings: NDArray[np.int64], seed: list[int]) -> EpochOrder | _RandomWindow:
    if len(np.unique(recordings)) == len(rows):
        return EpochOrder(rows, seed)
    return _RandomWindow(rows, recordings, seed)


def _recordings(corpus: Corpus, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the recording (n,) of each row (n,) of a set; windows of one recording have the same number."""
    start = corpus.start(name)
    return corpus.stores[name].recording_of[rows - start] + start


def largest_remainder(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers that add up to ``total`` and are close to ``shares * total`` (method of Hamilton).

    Args:
        shares: non-negative numbers with the sum 1. For equal remainders, earlier entries are rounded up first.
        total: sum of the result.
    """
    # rounding removes differences in the last digit between equal remainders
    exact = np.round(shares * total, 9)
    counts = np.floor(exact).astype(np.int64)
    up = np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]
    counts[up] += 1
    return counts


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def _require_weights(
    weights: Mapping[str, float], names: tuple[str, ...], rows: Mapping[str, NDArray[np.int64]]
) -> None:
    known = f"The sets are {', '.join(names)}"
    problems = [_problem(name, "is not a set of the corpus", known) for name in weights if name not in names]
    problems += [_problem(name, "has no weight", "Set a weight for every set") for name in names if name not in weights]
    total = sum(weight for weight in weights.values() if weight > 0)
    for name in (name for name in names if name in weights):
        if not weights[name] > 0:
            problems.append(_problem(name, f"is {weights[name]:g}", "Use a positive weight, or remove the set"))
        elif weights[name] / total * BLOCK < 1:
            what = f"is {weights[name] / total:.2g} of the sum of weights"
            problems.append(_problem(name, what, f"Use at least 1/{BLOCK} of the sum, or remove the set"))
        elif name not in rows:
            remedy = "Remove the set, or use the sampling 'proportional' or 'balanced'"
            problems.append(_problem(name, "has a weight, but no recordings are left in split train", remedy))
    if problems:
        raise InputError(problems)


def _problem(name: str, what: str, remedy: str) -> Problem:
    return Problem("params.yaml", f"pretrain.sampling.{name}", what, remedy)

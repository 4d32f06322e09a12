"""Batches of stored recordings. A batch depends on the seed and the step, so resumed runs see the same batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.signal.normalise import normalise
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store


@dataclass(frozen=True)
class Batch:
    """Batch of recordings on the device.

    Args:
        x: (B, L, T) float32, normalised.
        lead_mask: (B, L) bool, or ``None`` if all leads of all recordings are present (faster).
        rows: (B,) rows of the store or corpus.
        patients: (B,) patient codes.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all recordings are as long as the
            window (faster).
    """

    x: Tensor
    lead_mask: Tensor | None
    rows: NDArray[np.int64]
    patients: Tensor
    recorded: Tensor | None = None

    def piece(self, where: slice) -> Batch:
        """Return a batch with the recordings that the slice ``where`` selects."""
        mask = None if self.lead_mask is None else self.lead_mask[where]
        recorded = None if self.recorded is None else self.recorded[where]
        return Batch(self.x[where], mask, self.rows[where], self.patients[where], recorded)


@dataclass(frozen=True)
class HostBatch:
    """Batch in host memory.

    It has the signal (B, L, T) in mV, lead mask (B, L), numbers of recorded samples (B,), patient codes (B,) and rows of the
    store (B,).
    """

    signal: Tensor
    present: Tensor
    recorded: Tensor
    patients: Tensor
    rows: NDArray[np.int64]


def read_batch(
    store: Store | Corpus, rows: NDArray[np.int64], device: torch.device, leads: NDArray[np.bool_] | None = None
) -> HostBatch:
    """Load the recordings of ``rows``. For a GPU, they are in pinned memory, which allows asynchronous copies.

    Args:
        store: store or corpus to read from.
        rows: (B,) rows of the store or corpus.
        device: device that will use the batch.
        leads: (L,) bool, leads to use; others are treated as absent. ``None`` for all leads.
    """
    mask = store.lead_mask(rows) if leads is None else store.lead_mask(rows) & leads
    arrays = store.signals(rows), mask, store.recorded(rows), store.patients[rows]
    tensors = [torch.from_numpy(a) for a in arrays]
    signal, present, recorded, patients = (t.pin_memory() for t in tensors) if device.type == "cuda" else tensors
    return HostBatch(signal, present, recorded, patients, rows)


def to_device(host: HostBatch, store: Store | Corpus, device: torch.device) -> Batch:
    """Copy a batch to the device and normalise it there."""
    signal, mask, patients = (t.to(device, non_blocking=True) for t in (host.signal, host.present, host.patients))
    complete = bool((host.recorded == store.spec.samples).all())
    recorded = None if complete else host.recorded.to(device, non_blocking=True)
    x = normalise(signal, mask, store.spec.normalise, recorded)
    return Batch(x, None if bool(host.present.all()) else mask, host.rows, patients, recorded)


def load_batch(
    store: Store | Corpus, rows: NDArray[np.int64], device: torch.device, leads: NDArray[np.bool_] | None = None
) -> Batch:
    """Load and normalise the batch of ``rows``; arguments as in ``read_batch``."""
    return to_device(read_batch(store, rows, device, leads), store, device)


class BatchPrefetcher:
    """Prefetcher that loads the next batch in a thread during the current step.

    The recordings of a batch depend only on the step, so prefetching does not change their order.

    Args:
        store: store or corpus to read from; the thread uses separate memory maps.
        rows_of: function that returns the store rows of a step.
        device: device of the batches.
        last: total number of steps; no batch is loaded after the last one.

    Attributes:
        waited: total time in s that ``batch`` waited for the thread.
    """

    def __init__(
        self, store: Store | Corpus, rows_of: Callable[[int], NDArray[np.int64]], device: torch.device, last: int
    ) -> None:
        self._store, self._rows_of, self._device, self._last = copy(store), rows_of, device, last
        self._thread = ThreadPoolExecutor(1, "read")
        self._next: tuple[int, Future[HostBatch]] | None = None
        self.waited = 0.0

    def batch(self, step: int) -> Batch:
        """Return the batch of ``step`` (counted from 0), and start to load the batch of the next step."""
        start = time.perf_counter()
        if self._next is None or self._next[0] != step:
            self._ask(step)
        assert self._next is not None
        host = self._next[1].result()
        self.waited += time.perf_counter() - start
        if step + 1 < self._last:
            self._ask(step + 1)
        return to_device(host, self._store, self._device)

    def _ask(self, step: int) -> None:
        self._next = step, self._thread.submit(lambda: read_batch(self._store, self._rows_of(step), self._device))

    def __enter__(self) -> BatchPrefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)


class EpochOrder:
    """Endless sequence of rows. Without ``chances``, every epoch is a random permutation of all rows.

    The orders of the last two epochs are cached.

    Args:
        rows: rows to draw from.
        seed: numbers that, together with the epoch, determine its order.
        chances: (len(rows),) sampling probabilities. If given, rows are drawn with replacement.
    """

    def __init__(
        self, rows: NDArray[np.int64], seed: Sequence[int], chances: NDArray[np.float64] | None = None
    ) -> None:
        self._rows, self._seed, self._chances = rows, seed, chances
        self._orders: dict[int, NDArray[np.int64]] = {}

    def at(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows (n,) at positions (n,) of the sequence, counted from 0."""
        epochs, places = np.divmod(position, len(self._rows))
        out = np.empty(len(position), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            out[here] = self._order(epoch)[places[here]]
        return out

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            if len(self._orders) > 1:
                del self._orders[next(iter(self._orders))]
            generator = np.random.default_rng([*self._seed, epoch])
            if self._chances is None:
                self._orders[epoch] = generator.permutation(self._rows)
            else:
                self._orders[epoch] = generator.choice(self._rows, len(self._rows), p=self._chances)
        return self._orders[epoch]


def rows_at(
    rows: NDArray[np.int64],
    batch_size: int,
    seed: int,
    step: int,
    chances: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return the rows of the batch of a step, from the sequence ``EpochOrder``.

    Args:
        rows: rows to draw from.
        batch_size: number B of recordings; may exceed the number of rows.
        seed: seed of the run.
        step: step, counted from 0.
        chances: sampling probabilities; see ``EpochOrder``.
    """
    return EpochOrder(rows, [seed], chances).at(np.arange(step * batch_size, (step + 1) * batch_size))

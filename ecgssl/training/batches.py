"""Batches in an order that depends on nothing but seed and position, so that a resumed run sees the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.signal.normalise import normalise
from ecgssl.store.store import Store


@dataclass(frozen=True)
class Batch:
    """Recordings on the device.

    Args:
        x: (B, L, T) float32, normalised.
        lead_mask: (B, L) bool, or ``None`` where every lead of every recording is there (the fast case).
        rows: (B,) rows of the store.
        patients: (B,) codes.
    """

    x: Tensor
    lead_mask: Tensor | None
    rows: NDArray[np.int64]
    patients: Tensor


def load_batch(store: Store, rows: NDArray[np.int64], device: torch.device) -> Batch:
    """Read and normalise the recordings of ``rows``."""
    present = store.lead_mask(rows)
    signal = torch.from_numpy(store.signals(rows)).to(device, non_blocking=True)
    mask = torch.from_numpy(present).to(device)
    x = normalise(signal, mask, store.spec.normalise)
    patients = torch.from_numpy(store.patients[rows]).to(device)
    return Batch(x, None if present.all() else mask, rows, patients)


def rows_at(rows: NDArray[np.int64], batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Rows of the batch of a step: epochs are seeded permutations laid end to end, so every recording is seen equally often.

    Args:
        rows: rows to draw from.
        batch_size: B; may exceed the number of rows.
        seed: of the run.
        step: from 0.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, places = np.divmod(position, len(rows))
    out = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(rows)
        out[epochs == epoch] = order[places[epochs == epoch]]
    return out

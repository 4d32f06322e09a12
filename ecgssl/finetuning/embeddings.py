"""On-disk cache of embeddings. Each file belongs to one combination of encoder weights, store and leads."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.files import write_atomic
from ecgssl.model.encoder import Encoder
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import weight_bytes
from ecgssl.training.embed import embed_store


def cached_embeddings(
    encoder: Encoder,
    store: Store,
    rows: NDArray[np.int64],
    cache: Path,
    leads: NDArray[np.bool_] | None = None,
    *,
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return the embeddings (len(rows), E) of stored recordings. Those missing from the cache are computed and added.

    Args:
        encoder: frozen encoder.
        store: store with the preprocessing settings of the encoder.
        rows: rows of the store.
        cache: cache folder.
        leads: mask (L,) of the leads that the encoder may use; all by default.
        show_progress: draw a progress bar on a terminal.
    """
    seen = "all" if leads is None else " ".join(np.array(store.spec.leads)[leads])
    key = digest(encoder) + store.about["index_sha256"] + store.spec.fingerprint + seen
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    known, kept = np.empty(0, dtype=np.int64), np.empty((0, encoder.embed_dim), dtype=np.float32)
    if file.exists():
        with np.load(file, allow_pickle=False) as found:
            known, kept = found["rows"], found["embeddings"]
    lacking = np.setdiff1d(rows, known)
    if len(lacking):
        fresh = embed_store(encoder, store, lacking, leads=leads, show_progress=show_progress)
        known, kept = np.concatenate([known, lacking]), np.concatenate([kept, fresh])
        order = np.argsort(known)
        known, kept = known[order], kept[order]
        buffer = io.BytesIO()
        np.savez(buffer, rows=known, embeddings=kept)
        write_atomic(file, buffer.getvalue())
    return kept[np.searchsorted(known, rows)]


def digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of the weights of a model."""
    return hashlib.sha256(weight_bytes(model)).hexdigest()

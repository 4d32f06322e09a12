"""Embeddings of stored recordings, cached on disk for each combination of encoder weights, store and leads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.finetuning.row_cache import cached_rows
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
    return cached_rows(
        store, rows, cache, leads, digest(encoder), encoder.embed_dim, "embeddings",
        lambda lacking: embed_store(encoder, store, lacking, leads=leads, show_progress=show_progress),
    )  # fmt: skip


def digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of the weights of a model."""
    return hashlib.sha256(weight_bytes(model)).hexdigest()

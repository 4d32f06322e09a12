"""Embeddings of stored recordings, cached on disk for each combination of encoder weights, store, leads and precision."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.finetuning.row_cache import cached_rows
from ecgssl.model.encoder import Encoder
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import weight_bytes
from ecgssl.training.device import embedding_precision, resolve_device
from ecgssl.training.embed import embed_store


def cached_embeddings(
    encoder: Encoder,
    store: Store,
    rows: NDArray[np.int64],
    cache: Path,
    leads: NDArray[np.bool_] | None = None,
    *,
    precision: Literal["auto", "bf16", "fp32"] = "fp32",
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return the embeddings (len(rows), E) of stored recordings. Those missing from the cache are computed and added.

    Args:
        encoder: frozen encoder.
        store: store with the preprocessing settings of the encoder.
        rows: rows of the store.
        cache: cache folder.
        leads: mask (L,) of the leads that the encoder may use; all by default.
        precision: precision of the encoder (``embedding_precision``).
        show_progress: draw a progress bar on a terminal.
    """
    chosen = embedding_precision(precision, resolve_device("auto"))
    # the weights do not determine the embedding: its parts and offsets are parameters
    made_with = digest(encoder) + encoder.params.model_dump_json() + ("" if chosen == "fp32" else chosen)
    return cached_rows(
        store, rows, cache, leads, made_with, encoder.embed_dim, "embeddings",
        lambda lacking: embed_store(encoder, store, lacking, leads=leads, precision=chosen, show_progress=show_progress),
    )  # fmt: skip


def digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of the weights of a model."""
    return hashlib.sha256(weight_bytes(model)).hexdigest()

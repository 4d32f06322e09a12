"""Embeddings of stored recordings by a frozen encoder."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.model.encoder import Encoder
from ecgssl.progress import progress
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.device import autocast, embedding_precision, inference_batch, resolve_device


@torch.inference_mode()
def embed_store(
    encoder: Encoder,
    store: Store,
    rows: NDArray[np.int64],
    *,
    leads: NDArray[np.bool_] | None = None,
    batch_size: int | None = None,
    precision: Literal["auto", "bf16", "fp32"] = "auto",
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return the embeddings of stored recordings, (len(rows), E) float32.

    In fp32 on a CPU, they do not depend on the batch size.

    Args:
        encoder: encoder; it is moved to the GPU if there is one, and is on the CPU in eval mode afterwards.
        store: store preprocessed with the encoder's settings; the caller checks this.
        rows: rows of the store.
        leads: (L,) bool, leads that the encoder receives; ``None`` for all leads.
        batch_size: number of recordings per batch; by default ``inference_batch``.
        precision: precision of the forward pass (``embedding_precision``).
        show_progress: draw a progress bar on a terminal.
    """
    device = resolve_device("auto")
    size = batch_size or inference_batch(device)
    chosen = embedding_precision(precision, device)
    encoder = encoder.to(device).eval()
    out = np.empty((len(rows), encoder.embed_dim), dtype=np.float32)
    with progress("embed", len(rows), enabled=show_progress) as advance:
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            batch = load_batch(store, chunk, device, leads)
            with autocast(device, chosen):
                out[start : start + len(chunk)] = (
                    encoder.embed(batch.x, batch.lead_mask, batch.recorded).float().cpu().numpy()
                )
            advance(len(chunk))
    encoder.cpu()
    return out

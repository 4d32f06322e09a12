"""Attentive fine-tuning: training of a head with attention pooling on the tokens of a frozen encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.config.finetune import AttentiveParams
from ecgssl.finetuning.epochs import parameter_groups, run_epochs
from ecgssl.finetuning.full import FullResult, Score
from ecgssl.finetuning.losses import objective_of
from ecgssl.model.classifier import Classifier
from ecgssl.progress import progress
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import resolve_device
from ecgssl.training.optim import adamw

Features = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor, Tensor]]
"""Function that returns embeddings (B, E), tokens (B, N, D) and the mask of valid tokens (B, N) of given store rows."""


def finetune_attentive(
    model: Classifier,
    store: Store,
    targets: NDArray[np.float64],
    params: AttentiveParams,
    seed: int,
    score: Score,
    run_folder: Path,
    config: dict[str, Any],
    *,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    leads: NDArray[np.bool_] | None = None,
    show_progress: bool = True,
) -> FullResult:
    """Train the pooling queries and the head of a classifier with a frozen encoder.

    Args:
        model: classifier returned by ``start_attentive``. Before training (epoch 0), its outputs are equal to those of
            the linear probe.
        store, targets, seed, score, run_folder, config, train, val, leads, show_progress: see ``finetune_full``.
        params: settings of the training loop.

    Raises:
        ValueError: the classifier has no pooling queries.
        InputError, Diverged: see ``finetune_full``.
    """
    if model.pooling is None:
        raise ValueError("the classifier has no pooling queries; create it with start_attentive")
    device = resolve_device("auto")
    model.to(device).eval()
    trained = nn.ModuleDict({"pooling": model.pooling, "head": model.head})
    objective = objective_of(model.kind, targets[train], params.class_weight, model.target_spread)
    state = RunState(run_folder, config)
    rows = np.union1d(train, val)
    features = _on_the_fly(model, store, leads, device)
    if _gigabytes(model, len(rows)) <= params.cache_gb:
        features = _cached(features, model, rows, run_folder / "tokens.npy", device, show_progress)

    def loss(step: int) -> Tensor:
        here = rows_at(train, params.batch_size, seed, step)
        outputs = model.from_features(*features(here))
        return objective(outputs, torch.from_numpy(targets[here]).to(device, torch.float32))

    @torch.inference_mode()
    def validate() -> float:
        parts = [model.from_features(*features(val[start : start + 64])) for start in range(0, len(val), 64)]
        return score(targets[val], torch.cat(parts).double().cpu().numpy())

    steps = math.ceil(len(train) / params.batch_size)
    optimiser = adamw(parameter_groups(trained, params))
    done = run_epochs(trained, optimiser, params, steps, seed, state, loss, validate, show_progress=show_progress)
    (run_folder / "tokens.npy").unlink(missing_ok=True)
    return FullResult(model.cpu().eval(), done.history, done.best)


def _on_the_fly(model: Classifier, store: Store, leads: NDArray[np.bool_] | None, device: torch.device) -> Features:
    @torch.no_grad()
    def features(rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        batch = load_batch(store, rows, device, leads)
        out = model.encoder(batch.x, batch.lead_mask, recorded=batch.recorded)
        valid = torch.ones(out.tokens.shape[:2], dtype=torch.bool, device=device) if out.valid is None else out.valid
        return model.encoder.pool(out), out.tokens, valid

    return features


def _gigabytes(model: Classifier, recordings: int) -> float:
    encoder = model.encoder
    return 2 * recordings * len(encoder.leads) * encoder.columns * encoder.width / 1e9


def _cached(
    compute: Features, model: Classifier, rows: NDArray[np.int64], file: Path, device: torch.device, show_progress: bool
) -> Features:
    """Compute the tokens of ``rows`` once, store them as float16 in a file, and return a function that reads them.

    Embeddings and masks of valid tokens are kept in memory.
    """
    encoder = model.encoder
    shape = (len(rows), len(encoder.leads) * encoder.columns, encoder.width)
    embeddings = np.empty((len(rows), encoder.embed_dim), dtype=np.float32)
    valid_bits = np.empty((len(rows), -(-shape[1] // 8)), dtype=np.uint8)
    unfinished = file.with_suffix(".tmp")
    tokens = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
    with progress("tokens", len(rows), enabled=show_progress) as advance:
        for start in range(0, len(rows), 64):
            part = slice(start, start + 64)
            embedding, made, valid = compute(rows[part])
            embeddings[part], tokens[part] = embedding.cpu().numpy(), made.half().cpu().numpy()
            valid_bits[part] = np.packbits(valid.cpu().numpy(), axis=1)
            advance(len(embedding))
    tokens.flush()
    unfinished.replace(file)

    def features(wanted: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        at = np.searchsorted(rows, wanted)
        valid = torch.from_numpy(np.unpackbits(valid_bits[at], axis=1, count=shape[1]).astype(bool))
        found = torch.from_numpy(embeddings[at]), torch.from_numpy(tokens[at]).float(), valid
        return found[0].to(device), found[1].to(device), found[2].to(device)

    return features

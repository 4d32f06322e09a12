"""Fine-tuning of encoder and head together, with layer-wise rates, stochastic depth and early stop on validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config import FullParams
from ecgssl.model.classifier import Classifier
from ecgssl.model.core_ecg import circular_shift
from ecgssl.progress import progress
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import autocast, resolve_device, resolve_precision
from ecgssl.training.optim import adamw, cosine, finetune_groups, set_rates

Score = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""(targets (N, K) with NaN unknown, logits (N, K)) to a number to maximise."""


@dataclass
class FullResult:
    """The epoch that validation chose.

    Args:
        model: classifier with its weights, eval mode, CPU.
        history: per epoch: epoch, train loss, validation score.
        best_epoch: 0 means that no epoch was better than the start (the linear probe).
    """

    model: Classifier
    history: list[dict[str, float]]
    best_epoch: int


def masked_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy over known cells of (B, K) targets; unknown ones are NaN and have no part."""
    known = ~torch.isnan(targets)
    loss = F.binary_cross_entropy_with_logits(logits.float(), torch.nan_to_num(targets), reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)


def finetune_full(
    model: Classifier,
    store: Store,
    targets: NDArray[np.float64],
    params: FullParams,
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
    """Fine-tune on train recordings; the epoch with the best validation score is kept.

    The head starts as it comes: as the linear probe of the frozen encoder it leaves the features intact while it would
    otherwise be learning noise (linear probing, then fine-tuning; Kumar et al. 2022).

    Args:
        model: encoder (with ``drop_path``) and initialised head.
        store: of the model's contract.
        targets: (len(store), K).
        params: of the loop.
        seed: of order, shift and stochastic depth.
        score: of validation, to maximise.
        run_folder: resumable state, one per epoch; the caller discards it.
        config: what decides the result, see ``RunState``.
        train, val: rows to train on and to select by.
        leads: (L,) bool, the leads that the model may see; all where not given.
        show_progress: draw a progress bar on a terminal.
    """
    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    model.to(device)
    optimiser = adamw(
        finetune_groups(model.encoder, model.head, params.learning_rate, params.weight_decay, params.layer_decay)
    )
    state = RunState(run_folder, config)
    generator = torch.Generator(device)
    per_epoch = math.ceil(len(train) / params.batch_size)
    total = per_epoch * params.epochs
    saved = state.newest()
    if saved is None:
        start_score = score(targets[val], predict_logits(model, store, val, leads))
        best: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}
        history = [{"epoch": 0.0, "loss": float("nan"), "score": start_score}]
    else:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        best, history = saved["best"], saved["history"]
    with progress("fine-tune", params.epochs, "epochs", done=len(history) - 1, enabled=show_progress) as advance:
        for epoch in range(len(history), params.epochs + 1):
            best_epoch = _best_epoch(history)
            if epoch - 1 - best_epoch >= params.patience:
                break
            model.train()
            losses = []
            for step in range((epoch - 1) * per_epoch, epoch * per_epoch):
                # stochastic depth draws from the global generator: a function of (seed, step), as in pretraining
                torch.manual_seed(seed * 1_000_003 + step)
                set_rates(optimiser, cosine(step / total, params.warmup))
                rows = rows_at(train, params.batch_size, seed, step)
                batch = load_batch(store, rows, device, leads)
                x = circular_shift(batch.x, generator.manual_seed(seed * 1_000_003 + step)) if params.shift else batch.x
                with autocast(device, precision):
                    logits = model(x, batch.lead_mask)
                loss = masked_bce(logits, torch.from_numpy(targets[rows]).to(device, torch.float32))
                if not bool(torch.isfinite(loss)):
                    raise FloatingPointError(f"loss is not finite at step {step}; lower finetune.full.learning_rate")
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                losses.append(float(loss.detach()))
            reached = score(targets[val], predict_logits(model, store, val, leads))
            history.append({"epoch": float(epoch), "loss": float(np.mean(losses)), "score": reached})
            if _best_epoch(history) == epoch:
                best = {k: v.detach().clone() for k, v in model.state_dict().items()}
            content = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            state.save(epoch, {**content, "best": best, "history": history})
            advance(1, loss=history[-1]["loss"], validation=reached)
    model.load_state_dict(best)
    return FullResult(model.cpu().eval(), history, _best_epoch(history))


@torch.inference_mode()
def predict_logits(
    model: Classifier,
    store: Store,
    rows: NDArray[np.int64],
    leads: NDArray[np.bool_] | None = None,
    batch_size: int = 64,
) -> NDArray[np.float64]:
    """(len(rows), K) logits in eval mode, computed in fp32 where the model lies.

    Args:
        model: classifier.
        store: of its contract.
        rows: of the store.
        leads: (L,) bool, the leads that the model may see; all where not given.
        batch_size: recordings at a time.
    """
    model.eval()
    device = next(model.parameters()).device
    out = []
    for start in range(0, len(rows), batch_size):
        batch = load_batch(store, rows[start : start + batch_size], device, leads)
        out.append(model(batch.x, batch.lead_mask).double().cpu().numpy())
    return np.concatenate(out) if out else np.empty((0, len(model.targets)))


def _best_epoch(history: list[dict[str, float]]) -> int:
    """First epoch with the highest validation score."""
    return int(np.argmax([row["score"] for row in history]))

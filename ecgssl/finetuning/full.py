"""Full fine-tuning of encoder and head: layer-wise learning-rate decay, stochastic depth, time masks, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config import FullParams
from ecgssl.finetuning.epochs import run_epochs
from ecgssl.finetuning.losses import objective_of, sampling_chances
from ecgssl.model.classifier import Classifier
from ecgssl.model.core_ecg import circular_shift
from ecgssl.model.encoder import Encoder
from ecgssl.model.recorded import recorded_columns
from ecgssl.model.stdm import draw_columns
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import autocast, inference_batch, resolve_device, resolve_precision
from ecgssl.training.optim import adamw, finetune_groups

Score = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""Validation score: function of targets (N, K; NaN if unknown) and outputs (N, K). Higher is better."""

PIECE = 16
"""Recordings per forward pass of a training step on a CPU, so that the activations of a layer stay in its cache."""


@dataclass
class FullResult:
    """Result of full or attentive fine-tuning.

    Args:
        model: classifier with the weights of the best epoch, in eval mode, on the CPU.
        history: number, mean training loss and validation score of each epoch (``ecgssl.finetuning.epochs.Epochs``).
        best_epoch: epoch with the best validation score; 0 if no epoch improved on the linear probe used as start.
    """

    model: Classifier
    history: list[dict[str, float]]
    best_epoch: int


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
    """Fine-tune encoder and head, and keep the weights of the epoch with the best validation score.

    The head must be initialised with the linear probe of the frozen encoder. Training then distorts the pretrained
    features less than with a randomly initialised head (linear probing followed by fine-tuning; Kumar et al. 2022).

    Args:
        model: classifier to train: encoder (with ``drop_path``) and initialised head. Its attribute ``crops`` is set to
            ``params.crops``.
        store: store with the preprocessing settings of the model.
        targets: targets (len(store), K); NaN if unknown.
        params: settings of the training loop.
        seed: seed of the order of the recordings, the random time shift and stochastic depth.
        score: validation score, to be maximised.
        run_folder: folder of the resumable state, which is saved after each epoch. The caller deletes the folder.
        config: settings that determine the result. A run is only resumed with the same settings (see ``RunState``).
        train, val: rows of the store for training and for validation.
        leads: mask (L,) of the leads that the model may use; all by default.
        show_progress: draw a progress bar on a terminal.

    Raises:
        InputError: ``run_folder`` contains a run with other settings.
        Diverged: a training loss or validation score is not finite.
    """
    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    model.crops = params.crops
    model.to(device)
    optimiser = adamw(
        finetune_groups(model.encoder, model.head, params.learning_rate, params.weight_decay, params.layer_decay)
    )
    generator = torch.Generator(device)
    objective = objective_of(model.kind, targets[train], params.class_weight, model.target_spread)
    balanced = params.sampling == "balanced" and model.kind != "regression"
    chances = sampling_chances(targets[train]) if balanced else None

    def loss(step: int) -> Tensor:
        rows = rows_at(train, params.batch_size, seed, step, chances)
        batch = load_batch(store, rows, device, leads)
        generator.manual_seed(seed * 1_000_003 + step)
        x = circular_shift(batch.x, generator, batch.recorded) if params.shift else batch.x
        keep = visible(model.encoder, params.time_ratio, len(x), step, generator, batch.recorded)
        with autocast(device, precision):
            outputs = outputs_in_pieces(model, x, batch.lead_mask, batch.recorded, keep)
        return objective(outputs, torch.from_numpy(targets[rows]).to(device, torch.float32))

    done = run_epochs(
        model, optimiser, params, math.ceil(len(train) / params.batch_size), seed, RunState(run_folder, config), loss,
        lambda: score(targets[val], predict_logits(model, store, val, leads)), show_progress=show_progress,
    )  # fmt: skip
    return FullResult(model.cpu().eval(), done.history, done.best)


def visible(
    encoder: Encoder, time_ratio: float, batch: int, step: int, generator: torch.Generator, recorded: Tensor | None
) -> Tensor | None:
    """Return the patches (B, K) that the encoder receives in a training step, or ``None`` for all (``draw_columns``).

    Args:
        encoder: encoder that is trained.
        time_ratio: fraction of the time columns that is hidden.
        batch: number B of recordings.
        step: step, counted from 0.
        generator: random generator on the device of the batch.
        recorded: (B,) numbers of recorded samples, or ``None``.
    """
    if not time_ratio:
        return None
    there = None if recorded is None else recorded_columns(recorded, encoder.columns, encoder.patch)
    return draw_columns(time_ratio, batch, len(encoder.leads), encoder.columns, step, generator, there)


def outputs_in_pieces(
    model: Classifier, x: Tensor, lead_mask: Tensor | None, recorded: Tensor | None, keep: Tensor | None = None
) -> Tensor:
    """Return the outputs (B, K) of a classifier in training, computed for ``PIECE`` recordings at a time on a CPU.

    Arguments as in ``Classifier.forward``. The gradient is that of the whole batch.
    """
    size = len(x) if x.device.type == "cuda" else PIECE
    pieces = [slice(start, start + size) for start in range(0, len(x), size)]
    more = (lead_mask, recorded, keep)
    return torch.cat([model(x[p], *(None if v is None else v[p] for v in more)) for p in pieces])


@torch.inference_mode()
def predict_logits(
    model: Classifier,
    store: Store,
    rows: NDArray[np.int64],
    leads: NDArray[np.bool_] | None = None,
    batch_size: int | None = None,
) -> NDArray[np.float64]:
    """Return the outputs of a classifier in eval mode and fp32, shape (len(rows), K).

    The outputs are logits, or predicted values of a regression.

    Args:
        model: classifier.
        store: store with the preprocessing settings of the model.
        rows: rows of the store.
        leads: mask (L,) of the leads that the model may use; all by default.
        batch_size: number of recordings per batch; by default ``inference_batch``.
    """
    model.eval()
    device = next(model.parameters()).device
    size = batch_size or inference_batch(device)
    out = []
    for start in range(0, len(rows), size):
        batch = load_batch(store, rows[start : start + size], device, leads)
        out.append(model(batch.x, batch.lead_mask, batch.recorded).double().cpu().numpy())
    return np.concatenate(out) if out else np.empty((0, len(model.targets)))

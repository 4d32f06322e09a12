"""Supervised convolutional network as a row of ``ptbxl_results.py``: ResNet-18 in one dimension of the library MONAI."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.config.finetune import EpochParams
from ecgssl.finetuning.epochs import run_epochs
from ecgssl.finetuning.losses import masked_bce
from ecgssl.model.core_ecg import circular_shift
from ecgssl.probes.selection import macro_auroc
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import autocast, resolve_precision
from ecgssl.training.optim import adamw

SETTINGS = EpochParams(epochs=10, batch_size=64, learning_rate=0.002, weight_decay=0.05, warmup=0.1, patience=10)
CPU = torch.device("cpu")


def resnet18(leads: int, outputs: int) -> nn.Module:
    """Return a ResNet-18 (He et al. 2016) for signals (B, leads, T) with random weights: widths 64 to 512, first kernel 7."""
    from monai.networks.nets.resnet import ResNet

    network: nn.Module = ResNet(
        "basic", [2, 2, 2, 2], [64, 128, 256, 512], spatial_dims=1, n_input_channels=leads, conv1_t_size=7,
        conv1_t_stride=2, num_classes=outputs,
    )  # fmt: skip
    return network


def train_convnet(
    store: Store,
    values: NDArray[np.float64],
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    folder: Path,
    seed: int,
    leads: NDArray[np.bool_] | None = None,
    settings: EpochParams = SETTINGS,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network on the preprocessed signals, and return it with its choices.

    The choices are the best epoch on validation, whose weights are kept, and the score of every epoch, from 0.

    The recordings are shifted in time at random (circularly), as in full fine-tuning. The state is saved after each epoch.

    Args:
        store: store of recordings.
        values: targets (len(store), K): 1, 0 or NaN (unknown).
        train, val: rows of the store.
        folder: folder of the resumable state. The caller deletes it.
        seed: seed of the weights, the order and the shifts.
        leads: mask (L,) of the leads that may be used; all by default.
        settings: settings of the training loop.
    """
    torch.manual_seed(seed)
    network = resnet18(len(store.spec.leads), values.shape[1])
    optimiser = adamw(
        [
            {
                "params": [p for p in network.parameters() if (p.ndim > 1) is kernels],
                "peak": settings.learning_rate,
                "weight_decay": settings.weight_decay if kernels else 0.0,
            }
            for kernels in (True, False)
        ]
    )
    precision = resolve_precision("auto", CPU)
    generator = torch.Generator()

    def loss(step: int) -> Tensor:
        rows = rows_at(train, settings.batch_size, seed, step)
        batch = load_batch(store, rows, CPU, leads)
        generator.manual_seed(seed * 1_000_003 + step)
        with autocast(CPU, precision):
            outputs = network(circular_shift(batch.x, generator, batch.recorded))
        return masked_bce(outputs, torch.from_numpy(values[rows]).float())

    done = run_epochs(
        network, optimiser, settings, math.ceil(len(train) / settings.batch_size), seed,
        RunState(folder, {"network": "resnet18", "settings": settings.model_dump(), "train": len(train), "seed": seed}),
        loss, lambda: macro_auroc(values[val], outputs_of_network(network, store, val, leads)), show_progress=False,
    )  # fmt: skip
    return network.eval(), {"epoch": done.best, "scores": [epoch["score"] for epoch in done.history]}


@torch.inference_mode()
def outputs_of_network(
    network: nn.Module, store: Store, rows: NDArray[np.int64], leads: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the logits (len(rows), K) of a network in eval mode and fp32."""
    network.eval()
    parts = [rows[start : start + 64] for start in range(0, len(rows), 64)]
    return np.concatenate([network(load_batch(store, part, CPU, leads).x).double().numpy() for part in parts])

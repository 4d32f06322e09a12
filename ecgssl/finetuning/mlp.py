"""Nonlinear probe: a network with one hidden layer on frozen embeddings, averaged with the linear probe."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config.finetune import MlpParams
from ecgssl.config.manifest import OutputKind
from ecgssl.finetuning.epochs import parameter_groups, run_epochs
from ecgssl.finetuning.full import Score
from ecgssl.finetuning.losses import objective_of
from ecgssl.model.classifier import Head, Network
from ecgssl.probes.binary import Probe
from ecgssl.training.batches import rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import resolve_device
from ecgssl.training.optim import adamw

LEAST_STEPS = 50
"""Smallest number of steps of an epoch, in which few recordings are used several times."""
_BLOCK = 1024


@dataclass(frozen=True)
class MlpResult:
    """Result of the training of a nonlinear probe.

    Args:
        head: the linear probe with the network of the best epoch, on the CPU and in eval mode; without a network if no
            epoch improved on the linear probe.
        history: see ``ecgssl.finetuning.epochs.Epochs``; the score of epoch 0 is that of the linear probe.
        best_epoch: epoch with the best validation score.
    """

    head: Head
    history: list[dict[str, float]]
    best_epoch: int


def finetune_mlp(
    linear: Head,
    kind: OutputKind,
    features: NDArray[np.float32],
    targets: NDArray[np.float64],
    val_features: NDArray[np.float32],
    val_targets: NDArray[np.float64],
    params: MlpParams,
    seed: int,
    score: Score,
    run_folder: Path,
    config: dict[str, Any],
    *,
    show_progress: bool = True,
) -> MlpResult:
    """Train a network on features by itself, and keep the epoch at which its mean with the linear probe is best.

    The network does not receive the outputs of the probe. It is averaged with them only to predict, as in an ensemble. A
    network that was trained on the errors of the probe was worse (docs/results.md, section "Nonlinear probe").

    Args:
        linear: head with the coefficients of the linear probe; it is not changed.
        kind: type of the outputs.
        features: features (N, E) of the training recordings.
        targets: targets (N, K): 1, 0 or NaN (unknown; ignored). For a regression, standardised as the outputs of the probe.
        val_features, val_targets: the same for validation.
        params: settings of network and training loop.
        seed: seed of the initial weights, the order of the recordings and dropout.
        score: validation score, to be maximised.
        run_folder, config, show_progress: see ``ecgssl.finetuning.full.finetune_full``.

    Raises:
        InputError: ``run_folder`` contains a run with other settings.
        Diverged: a training loss or validation score is not finite.
    """
    device = resolve_device("auto")
    head = deepcopy(linear)
    torch.manual_seed(seed)
    network = Network(features.shape[1], params.hidden, targets.shape[1], (params.input_dropout, params.dropout))
    with torch.no_grad():
        network.to_outputs.bias.copy_(_start(kind, targets))
    head.network = network
    head.to(device)
    every = np.arange(len(features))
    objective = objective_of(kind, targets, params.class_weight, torch.ones(targets.shape[1], device=device))
    started = False

    def standardised(part: NDArray[np.float32]) -> Tensor:
        return head.standardised(torch.from_numpy(part).to(device))

    def loss(step: int) -> Tensor:
        nonlocal started
        started = True
        rows = rows_at(every, params.batch_size, seed, step)
        outputs = network(standardised(features[rows]))
        return objective(outputs, torch.from_numpy(targets[rows]).to(device, torch.float32))

    @torch.inference_mode()
    def validate() -> float:
        head.eval()
        parts = []
        for start in range(0, len(val_features), _BLOCK):
            part = torch.from_numpy(val_features[start : start + _BLOCK]).to(device)
            parts.append(head(part) if started else head.linear(head.standardised(part)))
        return score(val_targets, torch.cat(parts).double().cpu().numpy())

    steps = max(math.ceil(len(features) / params.batch_size), LEAST_STEPS)
    state = RunState(run_folder, config)
    optimiser = adamw(parameter_groups(network, params))
    done = run_epochs(network, optimiser, params, steps, seed, state, loss, validate, show_progress=show_progress)
    found = head.cpu().eval() if done.best else deepcopy(linear)
    return MlpResult(found, done.history, done.best)


def standardised_targets(targets: NDArray[np.float64], probe: Probe) -> NDArray[np.float64]:
    """Return targets (N, K) as the head of a probe predicts them: standardised for a regression, unchanged for other kinds."""
    if probe.offset is None or probe.spread is None:
        return targets
    return (targets - probe.offset) / probe.spread


def _start(kind: OutputKind, targets: NDArray[np.float64]) -> Tensor:
    """Return the initial biases (K,) of the outputs: those of a network that knows the frequencies of the training targets.

    Without them, the first epochs only learn that most findings are rare.
    """
    if kind == "regression":
        return torch.zeros(targets.shape[1])
    positive, known = np.nansum(targets, axis=0) + 0.5, (~np.isnan(targets)).sum(axis=0) + 1.0
    share = positive / known
    return torch.from_numpy(np.log(share / (1 - share)) if kind == "multilabel" else np.log(share)).float()

"""Training loop of fine-tuning, with early stopping by validation score and a resumable state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgssl.config.finetune import EpochParams
from ecgssl.errors import Diverged
from ecgssl.progress import progress
from ecgssl.training.checkpoint import RunState
from ecgssl.training.optim import cosine, decays, set_rates


@dataclass(frozen=True)
class Epochs:
    """Result of a training loop.

    Args:
        history: one dictionary per epoch with its number (``epoch``), mean training loss (``loss``) and validation score
            (``score``). Epoch 0 is the state before training; its loss is NaN.
        best: first epoch with the highest validation score.
    """

    history: list[dict[str, float]]
    best: int


def parameter_groups(module: nn.Module, params: EpochParams) -> list[dict[str, Any]]:
    """Return the parameters of a module in two groups with one learning rate: with and without weight decay (``decays``)."""
    named = list(module.named_parameters())
    return [
        {
            "params": [p for n, p in named if decays(n, p) == decayed],
            "peak": params.learning_rate,
            "weight_decay": params.weight_decay if decayed else 0.0,
        }
        for decayed in (True, False)
    ]


def run_epochs(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    params: EpochParams,
    steps: int,
    seed: int,
    state: RunState,
    loss: Callable[[int], Tensor],
    score: Callable[[], float],
    *,
    show_progress: bool = True,
) -> Epochs:
    """Train a module with early stopping and restore the weights of the best epoch.

    All random draws of a step depend only on the seed and the step number. A resumed run therefore has the same result
    as an uninterrupted run (bitwise on a CPU).

    Args:
        module: module that contains all trained parameters, and the buffers that belong to them.
        optimiser: optimiser of the module. Each parameter group has a peak learning rate (``ecgssl.training.optim``).
        params: settings of the training loop.
        steps: number of steps per epoch.
        seed: seed of the random draws in each step.
        state: resumable state of the run; it is saved after each epoch.
        loss: function that returns the loss of a step, given the step number (from 0).
        score: function that returns the validation score of the module in its current state; higher is better.
        show_progress: draw a progress bar on a terminal.

    Raises:
        Diverged: the loss or the score is not finite.
    """
    saved, total = state.newest(), steps * params.epochs
    if saved is None:
        best = _copy(module)
        history = [{"epoch": 0.0, "loss": float("nan"), "score": _finite(score(), "score before training")}]
    else:
        module.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        best, history = saved["best"], saved["history"]
    with progress("fine-tune", params.epochs, "epochs", done=len(history) - 1, enabled=show_progress) as advance:
        for epoch in range(len(history), params.epochs + 1):
            if epoch - 1 - _best(history) >= params.patience:
                break
            module.train()
            losses = []
            for step in range((epoch - 1) * steps, epoch * steps):
                # seed the global generator, which stochastic depth uses, from seed and step
                torch.manual_seed(seed * 1_000_003 + step)
                set_rates(optimiser, cosine(step / total, params.warmup))
                here = loss(step)
                losses.append(_finite(float(here.detach()), f"loss at step {step}"))
                here.backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            reached = _finite(score(), f"score of epoch {epoch}")
            history.append({"epoch": float(epoch), "loss": float(np.mean(losses)), "score": reached})
            if _best(history) == epoch:
                best = _copy(module)
            content = {"model": module.state_dict(), "optimiser": optimiser.state_dict()}
            state.save(epoch, {**content, "best": best, "history": history})
            advance(1, loss=history[-1]["loss"], validation=reached)
    module.load_state_dict(best)
    return Epochs(history, _best(history))


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _best(history: list[dict[str, float]]) -> int:
    return int(np.argmax([row["score"] for row in history]))


def _finite(value: float, what: str) -> float:
    if not np.isfinite(value):
        raise Diverged(f"fine-tuning diverged: {what} is not finite. Reduce the learning rate of this mode in finetune")
    return value

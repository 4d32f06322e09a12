"""Parameter groups, AdamW optimiser and learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ecgssl.model.classifier import Head
from ecgssl.model.encoder import Encoder


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Return whether weight decay applies: not to vectors, biases, tokens, embeddings and the FDA map, but to all others."""
    # compare whole components of the name, because ``from_tokens.weight`` is a matrix with weight decay
    exempt = any(part.endswith(("bias", "_token", "_embedding", "importance")) for part in name.split("."))
    return parameter.ndim >= 2 and not exempt


def pretrain_groups(
    module: nn.Module, learning_rate: float, weight_decay: float, map_rate: float
) -> list[dict[str, Any]]:
    """Return three parameter groups: with decay, without decay, and FDA (without decay, with learning rate ``map_rate``)."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    maps = [p for n, p in named if n.startswith("fda.")]
    rest = [(n, p) for n, p in named if not n.startswith("fda.")]
    return [
        {"params": [p for n, p in rest if decays(n, p)], "peak": learning_rate, "weight_decay": weight_decay},
        {"params": [p for n, p in rest if not decays(n, p)], "peak": learning_rate, "weight_decay": 0.0},
        {"params": maps, "peak": map_rate, "weight_decay": 0.0},
    ]


def finetune_groups(
    encoder: Encoder, head: Head, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return parameter groups with layer-wise learning rates. Each layer has ``layer_decay`` times the rate of the next one.

    Layer-wise decay improved the fine-tuning of ECG-JEPA on PTB-XL (arXiv 2509.25095). A weight matrix of the
    head has the rate ``learning_rate`` D / E, for the width D of a token and the number E of its inputs (at most
    ``learning_rate``). A step of Adam changes every weight by about its rate, so the change of an output grows with E; the rate
    that keeps it constant is proportional to 1 / E (Yang et al. 2021, arXiv 2203.03466, table 3).
    """
    depth = len(encoder.blocks)

    def level(name: str) -> int:
        if name.startswith("blocks."):
            return 1 + int(name.split(".")[1])
        return depth + 1 if name.startswith("norm.") else 0

    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    named = [(layer_decay ** (depth + 1 - level(n)), n, p) for n, p in encoder.named_parameters()]
    inputs = {name: p.shape[1] if p.ndim == 2 else encoder.width for name, p in head.named_parameters()}
    named += [(min(encoder.width / inputs[n], 1.0), f"head.{n}", p) for n, p in head.named_parameters()]
    for relative, name, parameter in named:
        decayed = decays(name, parameter)
        group = groups.setdefault(
            (relative, decayed),
            {
                "params": [],
                "peak": learning_rate * relative,
                "weight_decay": weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def adamw(groups: list[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.95)) -> torch.optim.AdamW:
    """Return a fused AdamW optimiser; ``set_rates`` sets the learning rates in each step."""
    for group in groups:
        group["lr"] = group["peak"]
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=betas, fused=True)


def cosine(progress: float, warmup: float) -> float:
    """Return the learning rate relative to its peak at ``progress`` (0 to 1): linear warm-up, then cosine decay to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)))


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate of every group to ``share`` times its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share


def parameter_count(parameters: Iterable[nn.Parameter]) -> int:
    """Return the total number of elements of the parameters."""
    return sum(p.numel() for p in parameters)

"""Attention rollout: from which patches the pooled representation of an encoder was mixed."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from ecgssl.model.blocks import Attention
from ecgssl.model.encoder import Encoder


@torch.no_grad()
def rollout(encoder: Encoder, x: Tensor, lead_mask: Tensor | None) -> Tensor:
    """Rollout of the attention of all blocks (Abnar & Zuidema 2020, arXiv 2005.00928).

    Each block hands on one half of a token (the residual branch) and one half of what it attends to, heads averaged. What
    the mean over valid tokens and the global token draw from each patch is spread evenly over the patch's samples.

    Args:
        encoder: in eval mode.
        x: (B, L, T) clean, normalised; rows of absent leads are 0.
        lead_mask: (B, L) bool, or ``None`` for all.

    Returns:
        (B, L, T), not negative, adding up to 1 per recording; absent leads are 0.
    """
    seen: list[Tensor] = []

    def keep(module: Attention, inputs: tuple[Any, ...]) -> None:
        seen.append(_weights(module, *inputs))

    hooks = [block.attention.register_forward_pre_hook(keep) for block in encoder.blocks]  # type: ignore[union-attr]
    try:
        valid = encoder(x, lead_mask).valid
    finally:
        for hook in hooks:
            hook.remove()
    tokens = seen[0].shape[-1]
    share = torch.ones(len(x), 1, tokens, device=x.device)
    if valid is not None:
        share[:, 0, 1:] = valid.float()
    share = share / share.sum(dim=-1, keepdim=True)  # (B, 1, 1 + L N), of the pooled representation
    for weight in reversed(seen):
        share = share / 2 + share @ weight / 2
    share = share[:, 0, 1:]  # (B, L N), without the global token
    share = share / share.sum(dim=-1, keepdim=True)
    return repeat(share, "b (l n) -> b l (n p)", l=len(encoder.leads), p=encoder.patch) / encoder.patch


def _weights(attention: Attention, x: Tensor, valid: Tensor | None) -> Tensor:
    """(B, K, K), rows adding up to 1: what ``attention`` gives to each token of x (B, K, D), heads averaged."""
    q, k, _ = rearrange(attention.qkv(x), "b k (three h d) -> three b h k d", three=3, h=attention.heads)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if valid is not None:
        scores = scores.masked_fill(~valid[:, None, None, :], float("-inf"))
    return scores.float().softmax(dim=-1).mean(dim=1)

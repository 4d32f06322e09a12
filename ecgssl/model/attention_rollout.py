"""Attention rollout: contribution of each patch to the pooled representation of an encoder."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from ecgssl.model.blocks import Attention
from ecgssl.model.encoder import Encoder


@torch.no_grad()
def rollout(encoder: Encoder, x: Tensor, lead_mask: Tensor | None, recorded: Tensor | None = None) -> Tensor:
    """Return the attention rollout over all blocks (Abnar and Zuidema 2020, arXiv 2005.00928).

    A block is modelled as half identity (the residual branch) and half attention, averaged over heads. The global token and
    all valid tokens of the last block have equal weights. The contribution of a patch is divided equally among its samples.

    Args:
        encoder: encoder in eval mode.
        x: (B, L, T) clean, normalised recordings; rows of absent leads are 0.
        lead_mask: (B, L) bool, or ``None`` if all leads are present.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.

    Returns:
        (B, L, T) contributions: non-negative, with sum 1 for each recording with a valid token, and 0 for absent leads
        and for patches that are not completely recorded.
    """
    seen: list[Tensor] = []

    def keep(module: Attention, inputs: tuple[Any, ...]) -> None:
        seen.append(_weights(module, *inputs))

    hooks = [block.attention.register_forward_pre_hook(keep) for block in encoder.blocks]  # type: ignore[union-attr]
    try:
        valid = encoder(x, lead_mask, recorded=recorded).valid
    finally:
        for hook in hooks:
            hook.remove()
    tokens = seen[0].shape[-1]
    share = torch.ones(len(x), 1, tokens, device=x.device)
    if valid is not None:
        share[:, 0, 1:] = valid.float()
    share = share / share.sum(dim=-1, keepdim=True)  # (B, 1, 1 + L N), shares of the pooled representation
    for weight in reversed(seen):
        share = share / 2 + share @ weight / 2
    share = share[:, 0, 1:]  # (B, L N), without the global token
    share = share / share.sum(dim=-1, keepdim=True)
    return repeat(share, "b (l n) -> b l (n p)", l=len(encoder.leads), p=encoder.patch) / encoder.patch


def _weights(attention: Attention, x: Tensor, valid: Tensor | None) -> Tensor:
    """Return the attention weights (B, K, K) of tokens x (B, K, D), averaged over heads; rows sum to 1."""
    q, k, _ = rearrange(attention.qkv(x), "b k (three h d) -> three b h k d", three=3, h=attention.heads)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if valid is not None:
        scores = scores.masked_fill(~valid[:, None, None, :], float("-inf"))
    return scores.float().softmax(dim=-1).mean(dim=1)

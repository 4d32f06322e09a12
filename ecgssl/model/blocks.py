"""Pre-norm transformer block, stochastic depth and sine-cosine position encoding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SCORES = 2**20
"""Largest number of scores per step of ``attention_by_products``, so that they stay in the cache of a CPU."""


def sincos_position(length: int, width: int) -> Tensor:
    """Return the fixed sine-cosine position encoding (Vaswani et al. 2017): (length, width), width even."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(width // 2, dtype=torch.float64) * (-math.log(10_000.0) / (width // 2)))
    return torch.cat([torch.sin(position * rate), torch.cos(position * rate)], dim=1).float()


class DropPath(nn.Module):
    """Stochastic depth per recording (Huang et al. 2016). In eval mode, the layer returns its input."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class Attention(nn.Module):
    """Multi-head self-attention with PyTorch's ``scaled_dot_product_attention``, except for bf16 training on a CPU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Return the attention output (B, K, D).

        Args:
            x: (B, K, D) tokens.
            valid: (B, K) bool, tokens that can be attended to; ``None`` for all.
        """
        q, k, v = rearrange(self.qkv(x), "b k (three h d) -> three b h k d", three=3, h=self.heads)
        mask = None if valid is None else valid[:, None, None, :]
        # in bf16 on a CPU, the backward pass of the fused kernel takes 4 to 9 times as long as plain matrix products
        slow = self.training and q.device.type == "cpu" and q.dtype == torch.bfloat16
        y = (attention_by_products if slow else F.scaled_dot_product_attention)(q, k, v, attn_mask=mask)
        return self.out(rearrange(y, "b h k d -> b k (h d)"))


def attention_by_products(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Return the result of ``scaled_dot_product_attention``, computed with matrix products and a softmax.

    A softmax of bf16 scores is computed in fp32 and rounded once. Conversions before and after it take as long as the products.
    """
    rows = max(1, SCORES // (q.shape[1] * q.shape[2] * k.shape[2]))
    masks = (None,) * -(-len(q) // rows) if attn_mask is None else attn_mask.split(rows)
    parts = [_attention(*part) for part in zip(q.split(rows), k.split(rows), v.split(rows), masks, strict=True)]
    return torch.cat(parts)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ v


class Block(nn.Module):
    """Transformer block: x + attention(norm(x)), then x + mlp(norm(x)), with stochastic depth in both branches."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop_path = DropPath(drop_path)

    def shrink(self, size: float) -> None:
        """Multiply the output weights of both branches by ``size``. A small value makes the block close to the identity."""
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name in ("attention.out.weight", "mlp.2.weight"):
                    weight.mul_(size)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the tokens (B, K, D) after the block; ``valid`` as in ``Attention``."""
        x = x + self.drop_path(self.attention(self.norm1(x), valid))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def init_weights(module: nn.Module) -> None:
    """Initialise a linear layer with Xavier-uniform weights and zero bias, as in MAE (He et al. 2022)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

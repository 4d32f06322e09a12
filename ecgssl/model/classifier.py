"""Encoder plus linear head: what fine-tuning makes and a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgssl.model.encoder import Encoder


class Head(nn.Module):
    """Linear layer on standardised embeddings: (B, E) -> (B, K) logits.

    Mean and scale are those of the train embeddings of the frozen encoder. They stay in the model as buffers, so that the
    head of a linear probe and that of a fine-tuned model are one and the same thing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embed_dim: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(embed_dim))
        self.register_buffer("scale", torch.ones(embed_dim))
        self.linear = nn.Linear(embed_dim, labels)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.linear((embedding - self.mean) / self.scale)


class Classifier(nn.Module):
    """Logits for named targets from clean, normalised recordings.

    Args:
        encoder: fine-tuned or frozen.
        targets: K names, in the order of the logits.
    """

    def __init__(self, encoder: Encoder, targets: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.targets = tuple(targets)
        self.head = Head(encoder.embed_dim, len(self.targets))

    def forward(self, x: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """(B, L, T), (B, L) bool or ``None`` -> (B, K) float32 logits."""
        return self.head(self.encoder.embed(x, lead_mask))

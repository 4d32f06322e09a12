"""How the vectors of a model being pretrained lie: what tells a collapse from a representation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.diagnostics.embedding_metrics import alignment, effective_rank, uniformity

_COINCIDE = 1e-6
"""Spread of vectors relative to their size up to which they are one and the same: what rounding in float32 makes of them."""


def geometry(
    model: CoReECG, global_: Sequence[Tensor], views: tuple[Sequence[Tensor], Sequence[Tensor]]
) -> dict[str, float]:
    """Figures of global vectors and of what the contrastive term makes of them.

    Args:
        model: whose vectors they are.
        global_: of one view, in batches (B, D).
        views: projected vectors of both views, in the same batches (B, E).

    Returns:
        ``effective_rank`` of the global vectors (Roy and Vetterli 2007). Where there is a contrastive term and more than
        one recording, ``alignment`` and ``uniformity`` of the vectors that it compares (Wang and Isola 2020); all vectors
        at one point have 0 and 0, also where standardising would blow up the rounding between them.
    """
    out = {"effective_rank": effective_rank(torch.cat(list(global_)).float().cpu().numpy())}
    first, second = (torch.cat(list(view)).float() for view in views)
    if model.objective.kind == "reconstruction" or len(first) < 2:
        return out
    both = torch.cat([first, second])
    if float((both - both.mean(dim=0)).abs().max()) <= _COINCIDE * float(both.abs().max()):
        return out | {"alignment": 0.0, "uniformity": 0.0}
    first, second = model.compared(first, second)
    return out | {
        "alignment": alignment(first.cpu().numpy(), second.cpu().numpy()),
        "uniformity": uniformity(first.cpu().numpy()),
    }

"""Division of a batch into processes and accumulated pieces, with the loss and gradient of the whole batch.

The contrastive loss compares every recording with the whole batch, so each part needs the projected vectors of all parts.
Processes exchange these vectors. The pieces of one process are not in memory at the same time. Their vectors are therefore
first computed without a graph. Then each piece is computed again with a graph (GradCache: Gao et al. 2021, "Scaling deep
contrastive learning batch size under memory limited setup").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecgssl.model.core_ecg import Gather
from ecgssl.training.ranks import Ranks


@dataclass(frozen=True)
class BatchParts:
    """Division of a batch: by process, then by piece within a process.

    Args:
        ranks: processes of the run.
        pieces: number of pieces per process; above 1 for gradient accumulation.
    """

    ranks: Ranks
    pieces: int = 1

    @property
    def count(self) -> int:
        """Number of parts: processes times pieces per process."""
        return self.ranks.size * self.pieces

    def start(self, piece: int, size: int) -> int:
        """Return the index in the whole batch of the first recording of a piece with ``size`` recordings."""
        return (self.ranks.rank * self.pieces + piece) * size

    def exchange(self, piece: int) -> Gather:
        """Return the ``Gather`` of a process with a single piece. It exchanges values with the other processes."""

        def gather(value: Tensor) -> Tensor:
            return self._insert(value, self.ranks.gather(value), piece)

        return gather

    def precompute(self, forward: Callable[[int, Gather], Any]) -> Callable[[int], Gather]:
        """Compute each piece once without a graph, and save the values that it passes to ``Gather``.

        Args:
            forward: function that computes a piece with a ``Gather``.

        Returns:
            Function that returns the ``Gather`` for the second computation of a piece.
        """
        gathered: list[list[Tensor]] = []
        with torch.no_grad():
            for piece in range(self.pieces):
                gathered.append([])
                forward(piece, _recorder(gathered[-1]))
        wholes = [self.ranks.gather(torch.cat(values)) for values in zip(*gathered, strict=True)]

        def gather_of(piece: int) -> Gather:
            calls = iter(wholes)
            return lambda value: self._insert(value, next(calls), piece)

        return gather_of

    def _insert(self, value: Tensor, whole: Tensor, piece: int) -> Tensor:
        if not value.requires_grad:
            return whole
        inserted: Tensor = _WithOwnGradient.apply(value, whole, self.start(piece, len(value)), self.count)
        return inserted


def _recorder(values: list[Tensor]) -> Gather:
    def gather(value: Tensor) -> Tensor:
        values.append(value)
        return value

    return gather


class _WithOwnGradient(torch.autograd.Function):
    """Autograd function that returns the values of all parts, with a gradient for the values of this part.

    Every part computes the loss of the whole batch, but passes on gradients only for its own recordings. Gradients are later
    averaged over parts, so they are multiplied by the number of parts here.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, start: int, parts: int) -> Tensor:
        ctx.start, ctx.size, ctx.parts = start, len(own), parts
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0][ctx.start : ctx.start + ctx.size] * ctx.parts, None, None, None

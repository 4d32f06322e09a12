"""A batch in equal parts, over processes and in pieces one after the other, with the loss and gradient of the whole.

Recordings of a contrastive batch are each other's negatives, so a part needs the projected vectors of all others. Processes
exchange them. Pieces of one process are not in memory together: their vectors are computed first without a graph, then
each piece again with one (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecgssl.model.core_ecg import Share
from ecgssl.training.ranks import Ranks


@dataclass(frozen=True)
class BatchParts:
    """How a batch is divided: process by process, and within a process piece by piece.

    Args:
        ranks: the processes.
        pieces: of each process; above 1 for gradient accumulation.
    """

    ranks: Ranks
    pieces: int = 1

    @property
    def count(self) -> int:
        """Number of parts."""
        return self.ranks.size * self.pieces

    def start(self, piece: int, size: int) -> int:
        """Place in the whole batch of this process's piece, where a part has ``size`` recordings."""
        return (self.ranks.rank * self.pieces + piece) * size

    def live(self, piece: int) -> Share:
        """The share of a process whose only piece is this one: asks the other processes at once."""

        def share(value: Tensor) -> Tensor:
            return self._placed(value, self.ranks.gather(value), piece)

        return share

    def precompute(self, forward: Callable[[int, Share], Any]) -> Callable[[int], Share]:
        """Learn what every part shares by computing each piece once without a graph.

        Args:
            forward: computes a piece with the share it is given.

        Returns:
            The share of each piece, to compute it with a second time.
        """
        shared: list[list[Tensor]] = []
        with torch.no_grad():
            for piece in range(self.pieces):
                shared.append([])
                forward(piece, _recorder(shared[-1]))
        wholes = [self.ranks.gather(torch.cat(values)) for values in zip(*shared, strict=True)]

        def share_of(piece: int) -> Share:
            calls = iter(wholes)
            return lambda value: self._placed(value, next(calls), piece)

        return share_of

    def _placed(self, value: Tensor, whole: Tensor, piece: int) -> Tensor:
        if not value.requires_grad:
            return whole
        placed: Tensor = _Place.apply(value, whole, self.start(piece, len(value)), self.count)
        return placed


def _recorder(values: list[Tensor]) -> Share:
    def share(value: Tensor) -> Tensor:
        values.append(value)
        return value

    return share


class _Place(torch.autograd.Function):
    """The whole, whose gradient reaches the own part.

    Every part computes the same loss of the whole, and gradients are averaged over parts afterwards. Each part contributes
    through its own recordings only, so its share of the gradient is as many times too small as there are parts.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, start: int, parts: int) -> Tensor:
        ctx.start, ctx.size, ctx.parts = start, len(own), parts
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0][ctx.start : ctx.start + ctx.size] * ctx.parts, None, None, None

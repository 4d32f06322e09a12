"""Forward and backward pass of a pretraining step, with gradient accumulation and data parallelism."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ecgssl.model.core_ecg import CoReECG, Gather, local
from ecgssl.model.draws import PartGenerator
from ecgssl.pretraining.term_gradients import TermGradients
from ecgssl.training.batch_parts import BatchParts
from ecgssl.training.batches import Batch
from ecgssl.training.device import autocast


class Step:
    """Computation of the loss and gradient of the whole batch from the recordings of this process.

    Args:
        model: model on its device.
        parts: division of the batch into processes and pieces.
        precision: precision of the forward pass.
    """

    def __init__(self, model: CoReECG, parts: BatchParts, precision: Literal["bf16", "fp32"]) -> None:
        self._model, self._parts, self._precision = model, parts, precision
        # parameters of loss terms that the objective does not include have no gradient
        self._module: nn.Module = (
            DistributedDataParallel(model, find_unused_parameters=True) if parts.ranks.size > 1 else model
        )
        self._gradients = TermGradients(model)

    def __call__(
        self, batch: Batch, step: int, gate_temperature: float, seed: int, measure: bool
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Compute the loss terms, and add the gradient of the loss to ``.grad`` of the parameters.

        Args:
            batch: recordings of this process.
            step: training step.
            gate_temperature: temperature of the FDA gate.
            seed: seed of the random numbers of the batch.
            measure: whether to compute the gradient norms of single terms.

        Returns:
            Loss terms of the whole batch, and gradient norms (empty unless ``measure`` is true).
        """
        count = self._parts.pieces
        size = len(batch.rows) // count
        pieces = [batch.piece(slice(i * size, (i + 1) * size)) for i in range(count)]

        def forward(module: nn.Module, piece: int, gather: Gather) -> dict[str, Tensor]:
            part = pieces[piece]
            generator = self._generator(part.x.device, piece, size).manual_seed(seed)
            with autocast(part.x.device, self._precision):
                terms: dict[str, Tensor] = module(
                    part.x, part.lead_mask, part.patients, step, gate_temperature, generator, gather, part.recorded
                )
            return terms

        if count > 1:
            gather_of = self._parts.precompute(lambda piece, gather: forward(self._model, piece, gather))
        elif self._parts.count > 1:
            gather_of = self._parts.exchange
        else:
            gather_of = lambda piece: local  # noqa: E731
        sums: dict[str, Tensor] = {}
        for piece in range(count):
            # average gradients over processes only once, after the last piece
            waits = isinstance(self._module, DistributedDataParallel) and piece < count - 1
            with self._module.no_sync() if waits else nullcontext():  # type: ignore[operator]
                terms = forward(self._module, piece, gather_of(piece))
                if measure:
                    self._gradients.add(terms, 1 / count)
                (terms["loss"] / count).backward()
            for name, value in terms.items():
                sums[name] = sums[name] + value.detach() / count if name in sums else value.detach() / count
        means = self._parts.ranks.mean(torch.stack(list(sums.values())))
        norms = self._gradients.norms(self._parts.ranks) if measure else {}
        return dict(zip(sums, means, strict=True)), norms

    def _generator(self, device: torch.device, piece: int, size: int) -> torch.Generator:
        if self._parts.count == 1:
            return torch.Generator(device)
        return PartGenerator(device, self._parts.count * size, self._parts.start(piece, size))

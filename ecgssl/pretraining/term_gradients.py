"""Which term of the loss pulls how hard."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgssl.model.core_ecg import CoReECG
from ecgssl.training.ranks import Ranks


class TermGradients:
    """Norms of the gradients of single terms, weighted as in the loss.

    Reconstruction and contrastive loss are compared in the last layer that they share, the encoder's last block, as GradNorm
    does (Chen et al. 2018): the graph is then only walked from the loss down to there. The budget acts on FDA's map alone and
    is measured in it. Pieces and processes are averaged as gradients, before the norm, so that the figures are those of
    the whole batch.
    """

    def __init__(self, model: CoReECG) -> None:
        trunk, maps = list(model.encoder.blocks[-1].parameters()), list(model.fda.parameters())
        o = model.objective
        self._terms = {
            "reconstruction": (1.0, trunk),
            "contrastive": (o.contrastive_weight, trunk),
            "budget": (o.budget_weight, maps),
        }
        self._found: dict[str, Tensor] = {}

    def add(self, terms: dict[str, Tensor], share: float) -> None:
        """Take in a piece of the batch, before its graph is used up.

        Args:
            terms: of the loss.
            share: of the piece in the batch of this process.
        """
        for name, (weight, parameters) in self._terms.items():
            if not (parameters and terms[name].requires_grad):
                continue
            found = torch.autograd.grad(
                weight * share * terms[name], parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            flat = torch.cat([gradient.flatten() for gradient in found])
            self._found[name] = self._found[name] + flat if name in self._found else flat

    def norms(self, ranks: Ranks) -> dict[str, float]:
        """``gradient_TERM`` of every term that has a gradient; starts afresh."""
        out = {f"gradient_{name}": float(ranks.mean(flat).norm()) for name, flat in self._found.items()}
        self._found = {}
        return out

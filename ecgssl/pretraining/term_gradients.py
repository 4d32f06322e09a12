"""Gradient norms of single loss terms."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgssl.model.core_ecg import CoReECG
from ecgssl.training.ranks import Ranks


class TermGradients:
    """Norms of the gradients of single loss terms, weighted as in the loss.

    The norm of a term is computed for the parameters that its ``LossTerm`` declares. These are the encoder's last block for
    the reconstruction and contrastive terms, as in GradNorm (Chen et al. 2018), and all of FDA for the budget term.
    Gradients are averaged over pieces and processes before the norm is computed.
    """

    def __init__(self, model: CoReECG) -> None:
        self._terms = {term.name: (term.weight(model.objective), term.measured_in(model)) for term in model.loss_terms}
        self._sums: dict[str, Tensor] = {}

    def add(self, terms: dict[str, Tensor], share: float) -> None:
        """Add the gradients of one piece of the batch. Call this before the backward pass, which frees the graph.

        Args:
            terms: values of the loss terms.
            share: size of the piece as a fraction of this process's batch.
        """
        for name, (weight, parameters) in self._terms.items():
            if not (parameters and terms[name].requires_grad):
                continue
            gradients = torch.autograd.grad(
                weight * share * terms[name], parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            self._sums[name] = self._sums[name] + flat if name in self._sums else flat

    def norms(self, ranks: Ranks) -> dict[str, float]:
        """Return the gradient norm ``gradient_TERM`` of every term with a gradient, and reset the sums."""
        out = {f"gradient_{name}": float(ranks.mean(flat).norm()) for name, flat in self._sums.items()}
        self._sums = {}
        return out

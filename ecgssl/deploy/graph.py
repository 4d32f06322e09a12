"""The deployed function: from clean recordings in mV to embeddings or probabilities, normalising inside."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LIMB_LEADS
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import SignalSpec


class ContractModel(nn.Module):
    """A model that starts where preprocessing ends; torch, ONNX and every kind of scoring run this one.

    Args:
        model: encoder or classifier; put in eval mode.
        spec: its signal contract.

    Attributes:
        outputs: names of what ``forward`` returns, in order: ``embedding`` of an encoder; ``logits``, ``probability``
            (sigmoid, each target by itself) and ``embedding`` of a classifier.
    """

    def __init__(self, model: Encoder | Classifier, spec: SignalSpec) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        classifies = isinstance(model, Classifier)
        self.outputs = ("logits", "probability", "embedding") if classifies else ("embedding",)
        self.eval()

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Run.

        Args:
            ecg: (B, L, T) float32 in mV, cleaned and cropped; what absent leads hold is ignored.
            lead_mask: (B, L) bool, true where a lead is present.

        Returns:
            Float32 tensors, one per name in ``outputs``: (B, K) logits and probabilities, (B, E) embedding.
        """
        x = normalise(ecg, lead_mask, self.spec.normalise)
        if isinstance(self.model, Classifier):
            embedding = self.model.encoder.embed(x, lead_mask)
            logits = self.model.head(embedding)
            return logits, torch.sigmoid(logits), embedding
        return (self.model.embed(x, lead_mask),)

    @torch.inference_mode()
    def run(self, ecg: NDArray[np.float32], lead_mask: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
        """``forward`` on arrays, in float32 on the device where the weights are; by name of output.

        A recording's result does not depend on the batch it is in, up to rounding (1e-5).
        """
        device = next(self.parameters()).device
        tensors = self(torch.from_numpy(ecg).to(device), torch.from_numpy(lead_mask).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}


def lead_subsets(spec: SignalSpec) -> dict[str, NDArray[np.bool_]]:
    """Sets of leads that devices deliver, as (L,) masks by name; those without a lead in the contract are left out."""
    wanted = {"all leads": spec.leads, "limb leads": LIMB_LEADS, "I and II": ("I", "II"), "one lead": spec.leads[:1]}
    masks = {name: np.array([lead in leads for lead in spec.leads]) for name, leads in wanted.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}

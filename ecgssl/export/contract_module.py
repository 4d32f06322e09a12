"""The deployed function: from clean recordings in mV to embeddings and calibrated scores, normalising inside."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import Decision, LabelDecision
from ecgssl.export.calibration_module import CalibrationModule
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import CHEST_LEADS, LIMB_LEADS
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import SignalSpec


class ContractModule(nn.Module):
    """A model that starts where preprocessing ends; torch, ONNX and every kind of scoring run this one.

    Args:
        model: encoder or classifier; put in eval mode.
        spec: its signal contract.
        decision: of a classifier, with its labels; none for what its outputs say by themselves.

    Attributes:
        outputs: names of what ``forward`` returns, in order: ``embedding`` of an encoder; of a classifier ``logits``,
            ``probability`` (calibrated; each label by itself, or of classes that add up to 1) and ``embedding``. A
            regression has ``value`` in place of ``probability``, in the targets' units; its ``logits`` are the same before
            calibration.
        decision: of a classifier; none of an encoder.
    """

    def __init__(self, model: Encoder | Classifier, spec: SignalSpec, decision: Decision | None = None) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.outputs: tuple[str, ...] = ("embedding",)
        self.decision: Decision | None = None
        if isinstance(model, Classifier):
            score = "value" if model.kind == "regression" else "probability"
            self.outputs = ("logits", score, "embedding")
            self.decision = decision or uncalibrated(model)
            self.calibration = CalibrationModule(self.decision)
        self.eval()

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Run.

        Args:
            ecg: (B, L, T) float32 in mV, cleaned and cropped; what absent leads hold is ignored.
            lead_mask: (B, L) bool, true where a lead is present.

        Returns:
            Float32 tensors, one per name in ``outputs``: (B, K) logits and scores, (B, E) embedding.
        """
        x = normalise(ecg, lead_mask, self.spec.normalise)
        if isinstance(self.model, Classifier):
            logits, embedding = self.model.with_embedding(x, lead_mask)
            return logits, self.calibration(logits), embedding
        return (self.model.embed(x, lead_mask),)

    @torch.inference_mode()
    def run(self, ecg: NDArray[np.float32], lead_mask: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
        """``forward`` on arrays, in float32 on the device where the weights are; by name of output.

        A recording's result does not depend on the batch it is in, up to rounding (1e-5).
        """
        device = next(self.parameters()).device
        tensors = self(torch.from_numpy(ecg).to(device), torch.from_numpy(lead_mask).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}


def uncalibrated(model: Classifier) -> Decision:
    """What the outputs of a classifier say by themselves: no calibration, no thresholds."""
    calibrator = Calibrator("linear" if model.kind == "regression" else "none")
    return Decision(model.kind, tuple(LabelDecision(name, calibrator) for name in model.targets))


def lead_subsets(spec: SignalSpec) -> dict[str, NDArray[np.bool_]]:
    """Sets of leads that devices deliver, as (L,) masks by name; those without a lead in the contract are left out."""
    wanted = {
        "all leads": spec.leads,
        "limb leads": LIMB_LEADS,
        "chest leads": CHEST_LEADS,
        "eight leads": ("I", "II", *CHEST_LEADS),
        "I and II": ("I", "II"),
        "one lead": spec.leads[:1],
    }
    masks = {name: np.array([lead in leads for lead in spec.leads]) for name, leads in wanted.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}

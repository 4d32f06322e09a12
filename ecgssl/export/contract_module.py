"""Deployed model: normalisation, encoder, head and calibration. The input is preprocessed recordings in mV.

Trailing samples that are NaN in all present leads were not recorded. The model does not see them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import Decision, LabelDecision
from ecgssl.export.calibration_module import CalibrationModule
from ecgssl.export.unrecorded import mark_unrecorded
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.device import resolve_device


class ContractModule(nn.Module):
    """Module that computes embeddings and calibrated scores of preprocessed recordings. Scoring and export use it.

    Args:
        model: encoder or classifier; the constructor sets it to eval mode.
        spec: preprocessing settings of the model.
        decision: calibrators and thresholds of a classifier. Without it, scores are not calibrated.
        shortest: smallest number of recorded samples of an accepted recording; by default, and at most, ``spec.samples``.
            It is at least the patch length of the encoder.

    Attributes:
        outputs: names of the results of ``forward``, in order. Encoder: ``embedding``. Classifier: ``logits``,
            ``probability`` (calibrated; sums to 1 over the classes of a multiclass task) and ``embedding``. A
            regression has ``value`` instead of ``probability``, in the targets' units; its ``logits`` are the values
            before calibration.
        decision: calibrators and thresholds of a classifier; ``None`` for an encoder.
    """

    def __init__(
        self,
        model: Encoder | Classifier,
        spec: SignalSpec,
        decision: Decision | None = None,
        shortest: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.shortest = min(spec.samples, max(shortest or spec.samples, self.encoder.patch))
        self.outputs: tuple[str, ...] = ("embedding",)
        self.decision: Decision | None = None
        if isinstance(model, Classifier):
            score = "value" if model.kind == "regression" else "probability"
            self.outputs = ("logits", score, "embedding")
            self.decision = decision or uncalibrated(model)
            self.calibration = CalibrationModule(self.decision)
        self.eval()

    @property
    def embed_dim(self) -> int:
        """Number of values in an embedding."""
        return self.encoder.embed_dim

    @property
    def encoder(self) -> Encoder:
        """Encoder of the model."""
        return self.model.encoder if isinstance(self.model, Classifier) else self.model

    @property
    def on_gpu(self) -> bool:
        """Whether the weights are on a GPU."""
        return next(self.parameters()).is_cuda

    def use_device(self, name: Literal["auto", "cpu", "cuda"]) -> str:
        """Move the weights to a device and return its type, ``cpu`` or ``cuda``.

        Raises:
            InputError: ``cuda`` is requested, but there is no usable GPU.
        """
        device = resolve_device(name)
        self.to(device)
        return device.type

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch.

        Args:
            ecg: (B, L, T) float32 in mV, cleaned and cropped; values of absent leads are ignored. Trailing samples that are
                NaN in all present leads were not recorded.
            lead_mask: (B, L) bool, true for present leads.

        Returns:
            Tuple of float32 tensors in the order of ``outputs``. Logits and scores are (B, K), embeddings (B, E). All values
            of a recording without a present lead, or with fewer than ``shortest`` recorded samples, are NaN.
        """
        return self.of_recorded(ecg, lead_mask, recorded_length(ecg, lead_mask))

    def of_recorded(self, ecg: Tensor, lead_mask: Tensor, recorded: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of ``forward`` for given numbers of recorded samples (B,); later samples are ignored."""
        x = normalise(ecg, lead_mask, self.spec.normalise, recorded)
        outputs: tuple[Tensor, ...]
        if isinstance(self.model, Classifier):
            logits, embedding = self.model.with_embedding(x, lead_mask, recorded)
            outputs = logits, self.calibration(logits), embedding
        else:
            outputs = (self.model.embed(x, lead_mask, recorded),)
        accepted = self.accepted(lead_mask, recorded)
        return tuple(nan_unless(accepted, output) for output in outputs)

    def accepted(self, lead_mask: Tensor, recorded: Tensor) -> Tensor:
        """Return a mask (B,) of recordings that have a present lead and at least ``shortest`` recorded samples."""
        return lead_mask.any(dim=-1) & (recorded >= self.shortest)

    @torch.inference_mode()
    def run(
        self,
        ecg: NDArray[np.float32],
        lead_mask: NDArray[np.bool_],
        recorded: NDArray[np.integer] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of ``forward`` as a dictionary of float32 arrays.

        They are computed on the device of the weights. The other recordings of the batch change the outputs of a
        recording only by rounding errors (about 1e-5).

        Args:
            ecg, lead_mask: see ``forward``.
            recorded: (B,) number of recorded samples from the start; later samples are ignored. By default, the trailing
                samples that are NaN in all present leads were not recorded.
        """
        device = next(self.parameters()).device
        ecg = mark_unrecorded(ecg, recorded)
        tensors = self(torch.from_numpy(ecg).to(device), torch.from_numpy(lead_mask).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}


def nan_unless(accepted: Tensor, values: Tensor) -> Tensor:
    """Return values with NaN for each recording that is not accepted.

    Without a signal, the encoder computes an output from its class token alone. The score would look valid.

    Args:
        accepted: (B,) bool, recordings with a valid output.
        values: (B, ...) float32.
    """
    return torch.where(accepted.reshape(-1, *[1] * (values.ndim - 1)), values, torch.nan)


def recorded_length(ecg: Tensor, lead_mask: Tensor) -> Tensor:
    """Return the number of samples (B,) int64 before the trailing samples that are NaN in all present leads.

    Args:
        ecg: (B, L, T) float32.
        lead_mask: (B, L) bool, true for present leads.
    """
    there = (~torch.isnan(ecg) & lead_mask.unsqueeze(-1)).any(dim=1)
    place = torch.arange(1, ecg.shape[-1] + 1, device=ecg.device)
    return torch.where(there, place, 0).amax(dim=-1)


def uncalibrated(model: Classifier) -> Decision:
    """Return a ``Decision`` for a classifier without calibration: calibrators that change no logit, and no thresholds."""
    calibrator = Calibrator("linear" if model.kind == "regression" else "none")
    return Decision(model.kind, tuple(LabelDecision(name, calibrator) for name in model.targets))

"""Deployed model for raw recordings: filtering, resampling, cropping and rounding, followed by the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.export.contract_module import ContractModule, nan_unless, recorded_length
from ecgssl.export.unrecorded import recorded_counts
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.cleaning_torch import cleaning_module
from ecgssl.signal.normalise import recorded_samples
from ecgssl.signal.spec import SignalSpec

if TYPE_CHECKING:
    from ecgssl.evaluation.calibration.decision import Decision

_LARGEST = float(np.iinfo(np.int16).max)


class RawModule(nn.Module):
    """Module that preprocesses raw recordings like ``ecgssl.preprocessing.prepare`` and runs the model on them.

    Trailing samples that are NaN in all present leads were not recorded: only the samples before them are filtered,
    reflected at the end and normalised. The module does not check the signal quality.

    Args:
        contract: model that takes preprocessed recordings.
        sampling_rate: sampling rate of the input in Hz.
        lsb: rounding step of preprocessed signals in mV, as in the store.

    Raises:
        InputError, RecordingError: the cleaning method cannot be exported, or does not support this sampling rate; see
            ``ecgssl.signal.cleaning_torch.cleaning_module``.
    """

    def __init__(self, contract: ContractModule, sampling_rate: float, lsb: float) -> None:
        super().__init__()
        self.contract = contract
        self.cleaning = cleaning_module(contract.spec, sampling_rate)
        self.sampling_rate, self.lsb = sampling_rate, lsb
        self.eval()

    @property
    def spec(self) -> SignalSpec:
        """Preprocessing settings of the model."""
        return self.contract.spec

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of ``forward``: those of ``ContractModule``, followed by ``signal``."""
        return (*self.contract.outputs, "signal")

    @property
    def decision(self) -> Decision | None:
        """Calibrators and thresholds of a classifier; ``None`` for an encoder."""
        return self.contract.decision

    @property
    def shortest(self) -> int:
        """Smallest number of recorded input samples of an accepted recording."""
        return self._needed(self.contract.shortest)

    @property
    def window(self) -> int:
        """Smallest number of input samples that covers the duration in the preprocessing settings."""
        return self._needed(self.spec.samples)

    def _needed(self, samples: int) -> int:
        return -(-((samples - 1) * self.cleaning.down + 1) // self.cleaning.up)

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch.

        Args:
            ecg: (B, L, T) float32 in mV, unfiltered, T at least ``shortest``; values of absent leads are ignored. Trailing
                samples that are NaN in all present leads were not recorded.
            lead_mask: (B, L) bool, true for present leads.

        Returns:
            Outputs of ``ContractModule``, followed by its input: the preprocessed signal (B, L, samples) in mV, rounded
            to multiples of ``lsb``, with 0 in absent leads, and NaN in all leads after the end of a recording that is
            shorter than the window. All values are NaN for a recording with fewer than ``shortest`` recorded samples or
            without present leads. If a present lead contains NaN or infinity, the model outputs of the recording and this
            lead of the signal are NaN.
        """
        recorded = recorded_length(ecg, lead_mask)
        seen = lead_mask.unsqueeze(-1) & recorded_samples(recorded, ecg.shape[-1]).unsqueeze(1)
        cleaned = self.cleaning(torch.where(seen, ecg, 0.0), recorded)
        # round to multiples of lsb, as the store does
        steps = torch.round(cleaned / self.lsb).clamp(-_LARGEST, _LARGEST)
        signal = steps * self.lsb
        kept = self.cleaning.available(recorded).clamp(max=self.spec.samples)
        outputs = self.contract.of_recorded(signal, lead_mask, kept)
        return *outputs, nan_unless(self.contract.accepted(lead_mask, kept), signal)

    def preprocess(self, ecg: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocess recordings of present leads with the Python pipeline, for comparison with ``forward``.

        Args:
            ecg: (B, L, T) in mV at ``sampling_rate``; NaN only in trailing samples that were not recorded.

        Returns:
            Preprocessed signals (B, L, samples) in mV, rounded to multiples of ``lsb``; NaN after the end of a recording
            that is shorter than the window.
        """
        out = np.full((*ecg.shape[:2], self.spec.samples), np.nan, dtype=np.float32)
        counts = recorded_counts(ecg, np.ones(ecg.shape[:2], dtype=bool))
        for one, count, made in zip(ecg, counts, out, strict=True):
            whole = clean(one[:, :count], self.sampling_rate, self.spec)
            part = crop(whole, self.spec, 0.0)
            steps = np.clip(np.rint(part / np.float32(self.lsb)), -_LARGEST, _LARGEST)
            made[:, : part.shape[1]] = steps.astype(np.int16) * np.float32(self.lsb)
        return out

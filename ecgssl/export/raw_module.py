"""Deployed model for raw recordings: filtering, resampling, cropping and rounding, followed by the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.export.contract_module import ContractModule, nan_without_leads
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.cleaning_torch import cleaning_module
from ecgssl.signal.spec import SignalSpec

if TYPE_CHECKING:
    from ecgssl.evaluation.calibration.decision import Decision

_LARGEST = float(np.iinfo(np.int16).max)


class RawModule(nn.Module):
    """Module that preprocesses raw recordings like ``ecgssl.preprocessing.prepare`` and runs the model on them.

    It does not check the signal quality.

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
        """Smallest number of input samples that covers the duration in the preprocessing settings."""
        kernel = self.cleaning
        return -(-((self.spec.samples - 1) * kernel.down + 1) // kernel.up)

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch.

        Args:
            ecg: (B, L, T) float32 in mV, unfiltered, T at least ``shortest``; values of absent leads are ignored.
            lead_mask: (B, L) bool, true for present leads.

        Returns:
            Outputs of ``ContractModule``, followed by its input: the preprocessed signal (B, L, samples) in mV, rounded
            to multiples of ``lsb``, with 0 in absent leads. All values are NaN if T is less than ``shortest``, and for
            a recording without present leads. If a present lead contains NaN or infinity, the model outputs of the
            recording and this lead of the signal are NaN.
        """
        cleaned = self.cleaning(torch.where(lead_mask.unsqueeze(-1), ecg, 0.0))
        # round to multiples of lsb, as the store does
        steps = torch.round(cleaned / self.lsb).clamp(-_LARGEST, _LARGEST)
        signal = steps * self.lsb
        return *self.contract(signal, lead_mask), nan_without_leads(signal, lead_mask)

    def preprocess(self, ecg: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocess recordings without missing values with the Python pipeline, for comparison with ``forward``.

        Args:
            ecg: (B, L, T) in mV at ``sampling_rate``.

        Returns:
            Preprocessed signals (B, L, samples) in mV, rounded to multiples of ``lsb``.
        """
        whole = [crop(clean(one, self.sampling_rate, self.spec), self.spec) for one in ecg]
        steps = np.clip(np.rint(np.stack(whole) / np.float32(self.lsb)), -_LARGEST, _LARGEST)
        return steps.astype(np.int16) * np.float32(self.lsb)

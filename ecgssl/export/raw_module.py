"""The deployed function from raw recordings: cleaning, resampling, cropping and rounding in front of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgssl.export.contract_module import ContractModule
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.cleaning_torch import cleaning_module
from ecgssl.signal.spec import SignalSpec

if TYPE_CHECKING:
    from ecgssl.evaluation.calibration.decision import Decision

_LARGEST = float(np.iinfo(np.int16).max)


class RawModule(nn.Module):
    """A model that takes raw recordings. It contains the cleaning of ``ecgssl.preprocessing.prepare``, without quality checks.

    Args:
        contract: the model behind preprocessing.
        sampling_rate: Hz of the input.
        lsb: mV of one step that contract signals are rounded to, as in the store.

    Raises:
        InputError, RecordingError: the contract's cleaning cannot be in a graph, or not from this rate; see
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
        """The signal contract."""
        return self.contract.spec

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what ``forward`` returns: those of ``ContractModule``, then ``signal``."""
        return (*self.contract.outputs, "signal")

    @property
    def decision(self) -> Decision | None:
        """Calibrators and thresholds."""
        return self.contract.decision

    @property
    def shortest(self) -> int:
        """Fewest samples of a recording that fill the contract's duration."""
        kernel = self.cleaning
        return -(-((self.spec.samples - 1) * kernel.down + 1) // kernel.up)

    def forward(self, ecg: Tensor, lead_mask: Tensor) -> tuple[Tensor, ...]:
        """Run.

        Args:
            ecg: (B, L, T) float32 in mV as recorded, of any T from ``shortest`` on; what absent leads hold is ignored.
            lead_mask: (B, L) bool, true where a lead is present.

        Returns:
            As ``ContractModule``, then the contract signal (B, L, samples) in mV that the model saw, whole steps of ``lsb``,
            0 in absent leads. NaN throughout where T is shorter, and of a recording with a value in a lead that is present
            that is not finite.
        """
        cleaned = self.cleaning(torch.where(lead_mask.unsqueeze(-1), ecg, 0.0))
        # the store holds whole steps: a model has never seen finer ones
        steps = torch.round(cleaned / self.lsb).clamp(-_LARGEST, _LARGEST)
        signal = steps * self.lsb
        return *self.contract(signal, lead_mask), signal

    def prepared(self, ecg: NDArray[np.float32]) -> NDArray[np.float32]:
        """The contract signals that the file pipeline makes of finite recordings, by its own code.

        Args:
            ecg: (B, L, T) mV at ``sampling_rate``.

        Returns:
            (B, L, samples) in mV, whole steps.
        """
        whole = [crop(clean(one, self.sampling_rate, self.spec), self.spec) for one in ecg]
        steps = np.clip(np.rint(np.stack(whole) / np.float32(self.lsb)), -_LARGEST, _LARGEST)
        return steps.astype(np.int16) * np.float32(self.lsb)

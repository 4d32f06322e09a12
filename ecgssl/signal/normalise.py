"""Amplitude normalisation in PyTorch, the last preprocessing step; also used in exported ONNX graphs."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgssl.signal.spec import NormaliseSpec

USUAL_VOLTAGE = 0.2
"""Divisor of method ``fixed`` in mV: the standard deviation of all recordings of PTB-XL, cleaned at 100 Hz, is 0.205 mV."""


def normalise(x: Tensor, lead_mask: Tensor, spec: NormaliseSpec, recorded: Tensor | None = None) -> Tensor:
    """Return the signal divided by the amplitude that ``spec.method`` defines.

    Method ``fixed`` divides all signals by ``USUAL_VOLTAGE``. ``recording`` divides by the root mean square of the recorded
    samples of all present leads, ``lead`` by that of each lead, but at least by ``spec.floor``. ``none`` does not divide. The
    offset is not removed, because cleaning has removed it.

    Args:
        x: (batch, leads, samples) in mV; values of absent leads are ignored, including NaN.
        lead_mask: (batch, leads) bool, true where a lead is present.
        spec: method and floor in mV.
        recorded: (batch,) int64, number of recorded samples from the start; later samples are ignored, including NaN.
            ``None`` if all samples are recorded.

    Returns:
        (batch, leads, samples) float32 without unit (mV for method ``none``). Absent leads and samples that
        were not recorded are exactly 0. If a recorded value is not finite, the whole recording is NaN, so that a model gives
        no number.
    """
    seen = lead_mask.unsqueeze(-1)
    if recorded is not None:
        seen = seen & recorded_samples(recorded, x.shape[-1]).unsqueeze(1)
    signal = torch.where(seen, x.float(), 0.0)
    # add 0, or NaN if a value is not finite
    signal = signal + (0 * signal).sum(dim=(1, 2), keepdim=True)
    if spec.method == "none":
        return signal
    if spec.method == "fixed":
        return signal / USUAL_VOLTAGE
    power = signal.square().mean(dim=-1, keepdim=True)
    if recorded is not None:
        # this factor is exactly 1 for a complete recording, whose result is then the same bit for bit
        power = power * (x.shape[-1] / recorded.clamp(min=1))[:, None, None]
    if spec.method == "recording":
        present = lead_mask.float().sum(dim=-1).clamp(min=1.0)
        power = power.sum(dim=1, keepdim=True) / present[:, None, None]
    return signal / power.sqrt().clamp(min=spec.floor)


def recorded_samples(recorded: Tensor, samples: int) -> Tensor:
    """Return a mask (batch, samples), true for the first ``recorded`` samples of each recording.

    Args:
        recorded: (batch,) int64, number of recorded samples from the start.
        samples: length of the window in samples.
    """
    return torch.arange(samples, device=recorded.device) < recorded.unsqueeze(-1)

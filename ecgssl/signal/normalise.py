"""Amplitude normalisation in PyTorch, the last preprocessing step; also used in exported ONNX graphs."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgssl.signal.spec import NormaliseSpec


def normalise(x: Tensor, lead_mask: Tensor, spec: NormaliseSpec) -> Tensor:
    """Return the signal divided by its root mean square, but at least by ``spec.floor``.

    The root mean square is computed over all present leads or, with method ``lead``, for each lead. With method ``none``,
    the signal is not divided. The offset is not removed, because cleaning has removed it.

    Args:
        x: (batch, leads, samples) in mV; values of absent leads are ignored, including NaN.
        lead_mask: (batch, leads) bool, true where a lead is present.
        spec: method and floor in mV.

    Returns:
        (batch, leads, samples) float32 without unit (mV for method ``none``). Absent leads are exactly 0.
    """
    signal = torch.where(lead_mask.unsqueeze(-1), x.float(), 0.0)
    if spec.method == "none":
        return signal
    power = signal.square().mean(dim=-1, keepdim=True)
    if spec.method == "recording":
        present = lead_mask.float().sum(dim=-1).clamp(min=1.0)
        power = power.sum(dim=1, keepdim=True) / present[:, None, None]
    return signal / power.sqrt().clamp(min=spec.floor)

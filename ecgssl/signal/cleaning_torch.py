"""Cleaning, resampling and cropping as one strided convolution, for tensors and for export inside a graph.

Same taps as ``ecgssl.signal.cleaning``; no FFT, because onnxruntime's is only good to 1e-3.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.errors import InputError, Problem
from ecgssl.signal.cleaning import Kernel, design
from ecgssl.signal.spec import SignalSpec

_CHANNELS = 32


class Cleaning(nn.Module):
    """(batch, leads, any samples) in mV at the input rate -> (batch, leads, samples) in mV: what ``crop`` keeps.

    Only what the window can see is read: every convolution has the same size, and a recording's length decides no more
    than which samples are gathered, by reflection at its ends. One stride per whole number of periods of the two rates,
    one output channel per output sample in it.

    Args:
        kernel: the impulse response.
        samples: of the window.
        centred: whether the window is the middle of the recording, or its start.
    """

    offset: Tensor
    weight: Tensor

    def __init__(self, kernel: Kernel, samples: int, *, centred: bool) -> None:
        super().__init__()
        up, down, half, reach = kernel.up, kernel.down, kernel.half, kernel.reach
        self.up, self.down, self.samples, self.centred = up, down, samples, centred
        # a window in the middle may begin within a period of the two rates
        made = samples + (up - 1 if centred else 0)
        # several periods per stride: neighbouring outputs share most of their inputs, so wide blocks are far faster
        periods = max(1, min(_CHANNELS, made) // up)
        outputs, self.stride = up * periods, down * periods
        width = reach + ((outputs - 1) * down + half) // up + 1
        # channel p, tap i: the sample i - reach after the block's first, seen from output p of the block
        place = np.arange(outputs)[:, None] * down - (np.arange(width) - reach)[None, :] * up
        inside = np.abs(place) <= half
        weight = np.where(inside, kernel.taps[np.where(inside, place, 0) + half], 0.0)
        blocks = -(-made // outputs)
        offset = torch.arange((blocks - 1) * self.stride + width) - reach
        self.register_buffer("weight", torch.from_numpy(weight[:, None].astype(np.float32)), persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        """Clean and crop.

        Args:
            signal: (B, L, T) float32 in mV, of any T.

        Returns:
            (B, L, samples). NaN throughout where T is too short for the window, and in every lead with a value that is
            not finite.
        """
        # lengths as tensors: a graph computes them for every input, none is a constant of the export
        length = torch.full((), signal.shape[-1], dtype=torch.int64)
        available = (length * self.up + (self.down - 1)) // self.down
        start = ((available - self.samples) // 2).clamp(min=0) if self.centred else torch.zeros_like(length)
        period = (2 * (length - 1)).clamp(min=1)
        index = (self.offset + start // self.up * self.down) % period
        index = torch.minimum(index, period - index)
        # the band-pass has no gain at 0 Hz: taking the offset away first only spares float32 its digits
        centre = signal.mean(dim=-1, keepdim=True)
        seen = rearrange(signal.index_select(-1, index) - centre, "b l t -> (b l) 1 t")
        branches = nn.functional.conv1d(seen, self.weight, stride=self.stride)
        cleaned = rearrange(branches, "(b l) p n -> b l (n p)", l=signal.shape[1])
        if self.centred:
            cleaned = cleaned.index_select(-1, torch.arange(self.samples) + start % self.up)
        return torch.where(available >= self.samples, cleaned[..., : self.samples], torch.nan)


def cleaning_module(spec: SignalSpec, sampling_rate: float) -> Cleaning:
    """``ecgssl.signal.cleaning.clean``, then ``crop``, for recordings of one sampling rate and any length; exportable.

    Args:
        spec: the contract.
        sampling_rate: Hz of the input.

    Raises:
        InputError: where ``spec.clean.method`` is a cleaner of neurokit2, which is no linear operator of ours.
        RecordingError: ``sampling_rate``, see ``design``.
    """
    if spec.clean.method != "fir":
        raise InputError(
            Problem(
                "signal contract",
                "clean.method",
                f"'{spec.clean.method}' is a cleaner of neurokit2: it runs in Python only and cannot be in a graph",
                "Use clean.method: fir, or export.raw_rates: []",
            )
        )
    kernel = design(float(sampling_rate), spec.sampling_rate, spec.clean, spec.clean.support)
    return Cleaning(kernel, spec.samples, centred=spec.crop == "center")

"""Cleaning, resampling and cropping as one strided convolution on tensors, exportable to a graph.

It uses the taps of ``ecgssl.signal.cleaning``, but no FFT, because the FFT of onnxruntime has an error of 1e-3.
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
    """Module that cleans, resamples and crops: (B, leads, any samples) in mV to (B, leads, ``samples``) in mV.

    Only the input samples that affect the window are read. All convolutions have the same size; the length of a recording
    affects only which samples are gathered, with reflection at the ends. One stride covers a whole number of periods of the
    two rates, with one output channel per output sample in it.

    Args:
        kernel: impulse response.
        samples: length of the window in samples.
        centred: use the middle of the recording, not its start.
    """

    offset: Tensor
    weight: Tensor

    def __init__(self, kernel: Kernel, samples: int, *, centred: bool) -> None:
        super().__init__()
        up, down, half, reach = kernel.up, kernel.down, kernel.half, kernel.reach
        self.up, self.down, self.samples, self.centred = up, down, samples, centred
        # a window in the middle can begin within a period of the two rates
        made = samples + (up - 1 if centred else 0)
        # several periods per stride are far faster, because neighbouring outputs share most of their inputs
        periods = max(1, min(_CHANNELS, made) // up)
        outputs, self.stride = up * periods, down * periods
        width = reach + ((outputs - 1) * down + half) // up + 1
        # channel p, tap i: input sample i - reach relative to the first of the block, seen from output p of the block
        place = np.arange(outputs)[:, None] * down - (np.arange(width) - reach)[None, :] * up
        inside = np.abs(place) <= half
        weight = np.where(inside, kernel.taps[np.where(inside, place, 0) + half], 0.0)
        blocks = -(-made // outputs)
        offset = torch.arange((blocks - 1) * self.stride + width) - reach
        self.register_buffer("weight", torch.from_numpy(weight[:, None].astype(np.float32)), persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        """Return the cleaned and cropped recordings.

        Args:
            signal: (B, L, T) float32 in mV, of any T.

        Returns:
            (B, L, samples). All NaN if T is too short for the window. A lead with a value that is not finite is NaN
            throughout.
        """
        # lengths are tensors, so that the exported graph computes them for every input
        length = torch.full((), signal.shape[-1], dtype=torch.int64)
        available = (length * self.up + (self.down - 1)) // self.down
        start = ((available - self.samples) // 2).clamp(min=0) if self.centred else torch.zeros_like(length)
        period = (2 * (length - 1)).clamp(min=1)
        index = (self.offset + start // self.up * self.down) % period
        index = torch.minimum(index, period - index)
        # the band-pass removes the offset; subtracting it first preserves float32 precision
        centre = signal.mean(dim=-1, keepdim=True)
        seen = rearrange(signal.index_select(-1, index) - centre, "b l t -> (b l) 1 t")
        branches = nn.functional.conv1d(seen, self.weight, stride=self.stride)
        cleaned = rearrange(branches, "(b l) p n -> b l (n p)", l=signal.shape[1])
        if self.centred:
            cleaned = cleaned.index_select(-1, torch.arange(self.samples) + start % self.up)
        return torch.where(available >= self.samples, cleaned[..., : self.samples], torch.nan)


def cleaning_module(spec: SignalSpec, sampling_rate: float) -> Cleaning:
    """Return a module equal to ``ecgssl.signal.cleaning.clean`` and ``crop``, for one sampling rate and any length.

    Args:
        spec: preprocessing settings.
        sampling_rate: sampling rate of the input in Hz.

    Raises:
        InputError: ``spec.clean.method`` is a cleaner of neurokit2, which cannot be exported.
        RecordingError: ``sampling_rate``, as in ``design``.
    """
    if spec.clean.method != "fir":
        raise InputError(
            Problem(
                "signal contract",
                "clean.method",
                f"'{spec.clean.method}' is a cleaner of neurokit2, which runs only in Python and cannot be exported",
                "Use clean.method: fir, or export.raw_rates: []",
            )
        )
    kernel = design(float(sampling_rate), spec.sampling_rate, spec.clean, spec.clean.support)
    return Cleaning(kernel, spec.samples, centred=spec.crop == "center")

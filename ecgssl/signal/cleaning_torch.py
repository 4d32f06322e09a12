"""Cleaning, resampling and cropping as one strided convolution in PyTorch, for export to ONNX.

It applies the taps of ``ecgssl.signal.cleaning`` without an FFT, because the FFT of onnxruntime is inaccurate (errors
of about 1e-3).
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.errors import InputError, Problem
from ecgssl.signal.cleaning import Kernel, design
from ecgssl.signal.normalise import recorded_samples
from ecgssl.signal.spec import SignalSpec

_CHANNELS = 32


class Cleaning(nn.Module):
    """PyTorch module that cleans, resamples and crops recordings of one sampling rate.

    Only the input samples that affect the output window are used. They are selected by index, with reflection at both
    ends of each recording, so the convolution has the same size for recordings of any length. The stride is a multiple of
    the common period of the two sampling rates. Each output channel computes one output sample of a stride.

    Args:
        kernel: impulse response of the cleaning operator.
        samples: length of the output window in samples.
        centred: whether the window is in the middle of the recording instead of at its start.
    """

    offset: Tensor
    weight: Tensor

    def __init__(self, kernel: Kernel, samples: int, *, centred: bool) -> None:
        super().__init__()
        up, down, half, reach = kernel.up, kernel.down, kernel.half, kernel.reach
        self.up, self.down, self.samples, self.centred = up, down, samples, centred
        # a centred window can start at any output sample of a common period of the two rates, so up - 1 more are needed
        made = samples + (up - 1 if centred else 0)
        # several periods per stride are much faster, because neighbouring outputs use mostly the same inputs
        periods = max(1, min(_CHANNELS, made) // up)
        outputs, self.stride = up * periods, down * periods
        width = reach + ((outputs - 1) * down + half) // up + 1
        # time from input sample i - reach to output sample p, in steps of the common grid, for channel p and tap i
        place = np.arange(outputs)[:, None] * down - (np.arange(width) - reach)[None, :] * up
        inside = np.abs(place) <= half
        weight = np.where(inside, kernel.taps[np.where(inside, place, 0) + half], 0.0)
        blocks = -(-made // outputs)
        offset = torch.arange((blocks - 1) * self.stride + width) - reach
        self.register_buffer("weight", torch.from_numpy(weight[:, None].astype(np.float32)), persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def available(self, recorded: Tensor) -> Tensor:
        """Return the number of output samples before cropping for ``recorded`` input samples (int64, any shape)."""
        return (recorded * self.up + (self.down - 1)) // self.down

    def forward(self, signal: Tensor, recorded: Tensor | None = None) -> Tensor:
        """Return the cleaned and cropped recordings.

        Args:
            signal: (batch, leads, samples) float32 in mV; any number of samples.
            recorded: (batch,) int64, number of recorded samples from the start; later samples must be 0. ``None`` if all
                samples are recorded.

        Returns:
            (batch, leads, ``samples``) in mV. Samples after the end of a recording that is shorter than the window are NaN.
            All values of a lead are NaN if the lead contains NaN or infinity.
        """
        # compute lengths as tensors, so that the exported graph supports inputs of any length
        length = torch.full((), signal.shape[-1], dtype=torch.int64, device=signal.device)
        if recorded is None:
            recorded = length.expand(signal.shape[0])
        available = self.available(recorded)
        start = ((available - self.samples) // 2).clamp(min=0) if self.centred else torch.zeros_like(recorded)
        period = (2 * (recorded - 1)).clamp(min=1)[:, None]
        index = (self.offset + (start // self.up * self.down)[:, None]) % period
        index = torch.minimum(index, period - index)
        # the band-pass removes the offset; subtracting it before filtering preserves float32 precision
        # the factor is exactly 1 for a complete recording, whose result is then the same bit for bit
        centre = signal.mean(dim=-1, keepdim=True) * (length / recorded.clamp(min=1))[:, None, None]
        seen = rearrange(_select(signal, index) - centre, "b l t -> (b l) 1 t")
        branches = nn.functional.conv1d(seen, self.weight, stride=self.stride)
        cleaned = rearrange(branches, "(b l) p n -> b l (n p)", l=signal.shape[1])
        if self.centred:
            cleaned = _select(cleaned, torch.arange(self.samples, device=signal.device) + (start % self.up)[:, None])
        there = recorded_samples(available, self.samples).unsqueeze(1)
        return torch.where(there, cleaned[..., : self.samples], torch.nan)


def _select(signal: Tensor, index: Tensor) -> Tensor:
    """Return the samples (batch, leads, n) of signal (batch, leads, samples) at index (batch, n)."""
    return signal.gather(-1, index.unsqueeze(1).expand(-1, signal.shape[1], -1))


def cleaning_module(spec: SignalSpec, sampling_rate: float) -> Cleaning:
    """Return a module that replaces ``ecgssl.signal.cleaning.clean`` and ``crop`` for one sampling rate.

    The module returns NaN where these functions raise an error, and after the end of a short recording; see
    ``Cleaning.forward``.

    Args:
        spec: preprocessing settings.
        sampling_rate: sampling rate of the input in Hz.

    Raises:
        InputError: ``spec.clean.method`` is a method of neurokit2, which cannot be exported.
        RecordingError, InputError: see ``ecgssl.signal.cleaning.design``.
    """
    if spec.clean.method != "fir":
        raise InputError(
            Problem(
                "signal contract",
                "clean.method",
                f"'{spec.clean.method}' is a method of neurokit2, which runs only in Python and cannot be exported",
                "Use clean.method: fir, or export.raw_rates: []",
            )
        )
    kernel = design(float(sampling_rate), spec.sampling_rate, spec.clean, spec.clean.support)
    return Cleaning(kernel, spec.samples, centred=spec.crop == "center")

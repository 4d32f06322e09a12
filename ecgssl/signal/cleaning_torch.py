"""The cleaning operator as a strided convolution, for tensors and for export inside a graph.

Same taps as ``ecgssl.signal.cleaning``; no FFT, because onnxruntime's is only good to 1e-3.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ecgssl.errors import InputError, Problem
from ecgssl.signal.cleaning import Kernel, design, reflection
from ecgssl.signal.spec import SignalSpec

_CHANNELS = 32


class Cleaning(nn.Module):
    """(batch, leads, samples) in mV at the input rate -> (batch, leads, samples_out) in mV at the contract's rate.

    One stride per whole number of periods of the two rates, one output channel per output sample in it; reflection by a
    constant index.

    Args:
        kernel: the impulse response.
        samples: length of every input.
    """

    index: Tensor
    weight: Tensor

    def __init__(self, kernel: Kernel, samples: int) -> None:
        super().__init__()
        up, down, half, reach = kernel.up, kernel.down, kernel.half, kernel.reach
        self.samples_out = kernel.samples_out(samples)
        # several periods per stride: neighbouring outputs share most of their inputs, so wide blocks are far faster
        periods = max(1, min(_CHANNELS, self.samples_out) // up)
        outputs, self.stride = up * periods, down * periods
        width = reach + ((outputs - 1) * down + half) // up + 1
        # channel p, tap i: the sample i - reach after the block's first, seen from output p of the block
        place = np.arange(outputs)[:, None] * down - (np.arange(width) - reach)[None, :] * up
        inside = np.abs(place) <= half
        weight = np.where(inside, kernel.taps[np.where(inside, place, 0) + half], 0.0)
        blocks = -(-self.samples_out // outputs)
        after = (blocks - 1) * self.stride + width - reach - samples
        index = reflection(samples, reach, max(after, 0))
        self.register_buffer("weight", torch.from_numpy(weight[:, None].astype(np.float32)), persistent=False)
        self.register_buffer("index", torch.from_numpy(index.astype(np.int64)), persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        leads = signal.shape[1]
        centred = signal - signal.mean(dim=-1, keepdim=True)
        padded = centred.index_select(-1, self.index).reshape(-1, 1, self.index.shape[0])
        branches = nn.functional.conv1d(padded, self.weight, stride=self.stride)
        return branches.transpose(1, 2).reshape(-1, leads, branches.shape[1] * branches.shape[2])[
            ..., : self.samples_out
        ]


def cleaning_module(spec: SignalSpec, sampling_rate: float, samples: int) -> nn.Module:
    """The operator of ``ecgssl.signal.cleaning.clean`` for one sampling rate and length, exportable.

    Args:
        spec: the contract.
        sampling_rate: Hz of the input.
        samples: per lead of the input.

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
                "Use clean.method: fir, or export without cleaning",
            )
        )
    if samples < 1:
        raise ValueError(f"samples {samples} is not positive")
    return Cleaning(design(float(sampling_rate), spec.sampling_rate, spec.clean, spec.clean.support), samples)

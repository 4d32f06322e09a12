"""Which device and which arithmetic a run uses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from ecgssl.errors import InputError, Problem


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """``auto`` takes the GPU where there is one.

    Raises:
        InputError: CUDA asked for where there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(Problem("params.yaml", "pretrain.device", "no CUDA device is visible", "Use 'auto' or 'cpu'"))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def resolve_precision(name: Literal["auto", "bf16", "fp32"], device: torch.device) -> Literal["bf16", "fp32"]:
    """``auto`` takes bf16 where the hardware multiplies in it.

    A CPU without such instructions emulates bf16: measured 48 times slower than fp32 there, against 6 times faster on one
    that has them.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # AMX implies AVX512-BF16; torch tells of either under names that its public interface lacks
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return "bf16" if any(getattr(torch.cpu, probe, bool)() for probe in probes) else "fp32"


def autocast(device: torch.device, precision: Literal["bf16", "fp32"]) -> AbstractContextManager[None]:
    """Mixed precision in bf16 for ``bf16``, nothing for ``fp32``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def use_tensor_cores(device: torch.device) -> None:
    """Let fp32 matrix products of a CUDA GPU round their inputs to TF32; what must be exact (FFTs) is none of them."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")

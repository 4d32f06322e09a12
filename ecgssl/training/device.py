"""Device and floating-point precision of a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from ecgssl.errors import InputError, Problem


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the torch device for a name. ``auto`` selects a GPU if there is one.

    Raises:
        InputError: CUDA is requested but not available.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(Problem("device", "cuda", "is not available", "Use 'auto' or 'cpu'"))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def resolve_precision(name: Literal["auto", "bf16", "fp32"], device: torch.device) -> Literal["bf16", "fp32"]:
    """Return the precision for a name. ``auto`` selects bf16 if the hardware supports it.

    On CPUs without bf16 instructions, bf16 was 48 times slower than fp32; on a CPU with them, it was 6 times faster.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # use private functions, because torch has no public function to detect AMX or AVX512-BF16
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return "bf16" if any(getattr(torch.cpu, probe, bool)() for probe in probes) else "fp32"


def embedding_precision(name: Literal["auto", "bf16", "fp32"], device: torch.device) -> Literal["bf16", "fp32"]:
    """Return the precision of a frozen encoder for a name. ``auto`` selects bf16 on a GPU that supports it, otherwise fp32.

    On a CPU, bf16 must be chosen, because embeddings then depend on the type of CPU.
    """
    if name == "auto" and device.type == "cpu":
        return "fp32"
    return resolve_precision(name, device)


def autocast(device: torch.device, precision: Literal["bf16", "fp32"]) -> AbstractContextManager[None]:
    """Return an autocast context for ``bf16``; it has no effect for ``fp32``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def use_tensor_cores(device: torch.device) -> None:
    """Allow TF32 for fp32 matrix products on a CUDA GPU. FFTs are not affected."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def inference_batch(device: torch.device) -> int:
    """Return the number of recordings that are scored together.

    On a CPU, larger batches do not fit into the caches: 64 took twice the time of 8 per recording (preset ``tiny`` with a
    stem of 309 filters, AMD EPYC, one thread).
    """
    return 256 if device.type == "cuda" else 8

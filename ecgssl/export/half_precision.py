"""Half-precision weights of shipped models: rounding of a model, the weights file, and the effect on its outputs."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ecgssl.encoders.card import Rounding
from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.unrecorded import with_signal
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder

LEAST_COSINE = 0.999
"""Smallest accepted cosine similarity of the embeddings before and after rounding."""


def rounded(model: Encoder | Classifier) -> Encoder | Classifier:
    """Return a copy of a model with matrices rounded to half precision; the copy still has single-precision tensors.

    Vectors, such as biases and norms, are small and keep single precision.

    Raises:
        InputError: a weight is beyond the range of half precision; all such tensors are listed.
    """
    made = copy.deepcopy(model)
    problems = []
    for name, value in made.state_dict().items():
        if _is_half(value):
            value.copy_(value.half().float())
            if not torch.isfinite(value).all():
                what = f"exceeds {torch.finfo(torch.float16).max:g}, the largest number of half precision"
                problems.append(Problem("model", name, what, "Train the model again with weight decay"))
    if problems:
        raise InputError(problems)
    return made.eval()


def half_bytes(model: Encoder | Classifier) -> bytes:
    """Return the weights of a result of ``rounded`` in safetensors format, with matrices in half precision."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    return save({name: value.half() if _is_half(value) else value for name, value in state.items()})


def rounding_effect(before: ContractModule, after: ContractModule, ecg: NDArray[np.float32]) -> Rounding:
    """Return the difference of the embeddings of two models for the same recordings.

    Args:
        before, after: model with the weights of the run, and with rounded weights.
        ecg: (n, L, T) preprocessed recordings in mV.

    Raises:
        InputError: the cosine similarity of two embeddings is below ``LEAST_COSINE``.
    """
    one, other = (graph.run(ecg, with_signal(ecg))["embedding"].astype(np.float64) for graph in (before, after))
    largest = float(np.max(np.abs(one - other)) / np.std(one))
    cosine = float(np.min(np.sum(one * other, axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))))
    if not cosine >= LEAST_COSINE:
        what = f"changes embeddings too much: cosine similarity {cosine:.6f}, at least {LEAST_COSINE} is required"
        raise InputError(Problem("model", "half precision", what, "Train the model again with weight decay"))
    return Rounding(recordings=len(ecg), largest=round(largest, 6), cosine=round(min(cosine, 1.0), 8))


def _is_half(value: Tensor) -> bool:
    return value.dtype == torch.float32 and value.ndim >= 2

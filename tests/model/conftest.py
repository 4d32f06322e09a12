"""Fixtures of the model tests: small sizes and signals."""

from __future__ import annotations

import pytest
import torch
from heartbeats import heartbeats

from ecgssl.config import DecoderParams, ModelParams


@pytest.fixture(scope="session")
def small() -> ModelParams:
    """Return the settings of an encoder and decoder with a few thousand weights and patches of 50 samples."""
    decoder = DecoderParams(width=16, depth=1, heads=2)
    return ModelParams(width=32, depth=2, heads=2, patch=50, decoder=decoder)


@pytest.fixture(scope="session")
def recordings() -> torch.Tensor:
    """Return signals (8, 12, 500) at 100 Hz, each with root mean square 1."""
    x = torch.from_numpy(heartbeats(8))
    return x / x.square().mean(dim=(1, 2), keepdim=True).sqrt()

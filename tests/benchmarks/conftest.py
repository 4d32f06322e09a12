"""Fixtures of the benchmark tests."""

from __future__ import annotations

import minirocket
import numpy as np
import pytest
from training_fixtures import make_params, store  # noqa: F401


@pytest.fixture
def counting(monkeypatch):
    """Replace MiniRocket by the mean of each lead, so that neither sktime nor numba is needed; return the calls."""
    calls = []

    def transformer(signals, kernels, seed):
        def transform(x):
            calls.append(len(x))
            return np.resize(x.mean(2).astype(np.float32), (len(x), kernels))

        return transform

    monkeypatch.setattr(minirocket, "require", lambda *_: None)
    monkeypatch.setattr(minirocket, "_transformer", transformer)
    monkeypatch.setattr(minirocket, "_BLOCK", 10)
    return calls

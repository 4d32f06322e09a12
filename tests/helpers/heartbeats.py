"""Clean, normalised 12-lead signals that obey the limb-lead laws, for tests of models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import LIMB_MATRIX


def heartbeats(count: int, seconds: float = 5.0, rate: float = 100.0, seed: int = 0) -> NDArray[np.float32]:
    """Return signals (count, 12, samples) in mV with Gaussian P, QRS and T waves.

    Each recording has a different rate, axis and noise.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    out = np.empty((count, 12, time.size))
    for i in range(count):
        cycle = generator.uniform(0.6, 1.1)
        waves = [
            np.exp(-0.5 * (((time - at + cycle / 2) % cycle - cycle / 2) / width) ** 2)
            for at, width in ((0.1, 0.03), (0.25, 0.015), (0.5, 0.06))
        ]
        weights = generator.uniform(-1, 1, (8, 3)) * [0.2, 1.5, 0.5]
        sources = weights @ np.stack(waves) + generator.normal(0, 0.02, (8, time.size))
        out[i] = np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]])
    return out.astype(np.float32)

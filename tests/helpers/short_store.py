"""Copy of a store in which some recordings are short, with any value in the samples that were not recorded."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from ecgssl.store.store import Store


def shortened(store: Store, recorded: NDArray[np.int64], value: float) -> Store:
    """Return a copy of ``store`` whose recordings have ``recorded`` (n,) samples, and then samples with ``value`` mV."""
    made = copy(store)
    made.recorded = lambda rows: recorded[np.asarray(rows)]  # type: ignore[method-assign]

    def signals(rows: NDArray[np.integer]) -> NDArray[np.float32]:
        later = np.arange(store.spec.samples) >= recorded[np.asarray(rows)][:, None, None]
        return np.where(later, np.float32(value), store.signals(rows))

    made.signals = signals  # type: ignore[method-assign]
    return made

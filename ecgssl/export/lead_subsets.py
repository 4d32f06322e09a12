"""Lead masks for the tests of exported graphs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import CHEST_LEADS, LIMB_LEADS
from ecgssl.signal.spec import SignalSpec

ALL = "all leads"
"""Name of the set of all leads of a model."""


def lead_subsets(spec: SignalSpec) -> dict[str, NDArray[np.bool_]]:
    """Return lead masks (L,) of common lead sets by name. Sets that share no lead with ``spec`` are omitted."""
    subsets = {
        ALL: spec.leads,
        "limb leads": LIMB_LEADS,
        "chest leads": CHEST_LEADS,
        "eight leads": ("I", "II", *CHEST_LEADS),
        "I and II": ("I", "II"),
        "one lead": spec.leads[:1],
    }
    masks = {name: np.array([lead in leads for lead in spec.leads]) for name, leads in subsets.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def batches_of_lead_sets(spec: SignalSpec) -> Iterator[tuple[int, str, NDArray[np.bool_]]]:
    """Yield batch size, name and mask (L,) of each test batch: 1 and 7 recordings with all leads, 2 for other lead sets."""
    for name, mask in lead_subsets(spec).items():
        for batch in (1, 7) if name == ALL else (2,):
            yield batch, name, mask

"""Lead masks for the tests of exported graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import CHEST_LEADS, LIMB_LEADS
from ecgssl.signal.spec import SignalSpec


def lead_subsets(spec: SignalSpec) -> dict[str, NDArray[np.bool_]]:
    """Return lead masks (L,) of common lead sets by name. Sets that share no lead with ``spec`` are omitted."""
    subsets = {
        "all leads": spec.leads,
        "limb leads": LIMB_LEADS,
        "chest leads": CHEST_LEADS,
        "eight leads": ("I", "II", *CHEST_LEADS),
        "I and II": ("I", "II"),
        "one lead": spec.leads[:1],
    }
    masks = {name: np.array([lead in leads for lead in spec.leads]) for name, leads in subsets.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}

"""WFDB records whose header gains scale each lead to 1 mV peak to peak, such as those of LUDB.

The digital samples of LUDB obey the limb-lead laws: the median of ``ecgssl.signal.leads.limb_residual`` over 200 recordings is
0.0016. After scaling with the header gains, it is 0.206. All leads therefore have the same true gain, and the header gains are
wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INFERRED_STEP = 1e-3
"""Assumed voltage of a digital step in mV, with which the leads of LUDB have amplitudes typical of other data sets."""

UNIT_INFERRED = "unit_inferred"
"""Flag of a recording whose unit is inferred."""

_FEWEST_LEADS = 3
_TOLERANCE = 1e-4


def undo_normalised_gains(signal: NDArray[np.float32], gains: Sequence[float]) -> bool:
    """Rescale a signal with ``INFERRED_STEP`` if its gains scale each lead to 1 mV; return whether it was rescaled.

    At least three different gains and three leads that are not constant are required. Constant leads are not checked.

    Args:
        signal: (leads, samples) in mV; changed in place. NaN for missing values.
        gains: digital steps per mV of each lead.
    """
    if len(set(gains)) < _FEWEST_LEADS:
        return False
    with np.errstate(invalid="ignore"):
        spans = np.fmax.reduce(signal, axis=1) - np.fmin.reduce(signal, axis=1)
    moving = spans > 0
    if moving.sum() < _FEWEST_LEADS or (np.abs(spans[moving] - 1) > _TOLERANCE).any():
        return False
    signal *= np.array(gains, dtype=np.float32)[:, None] * np.float32(INFERRED_STEP)
    return True

"""Typical voltage of a set of recordings: detection of a constant factor in all amplitudes, such as a wrong gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

TYPICAL = (0.5, 2.2)
"""Range in mV of a set's median peak-to-peak voltage (``ecgssl.signal.raw_figures``, median over leads and recordings).
Medians of PTB-XL, PTB, CPSC2018, CPSC-Extra, Chapman-Shaoxing and Georgia lie between 0.9 and 1.3 mV."""
FEWEST = 10
"""Smallest number of recordings for which the median is checked, because single recordings vary more widely."""
_CENTRE = 1.1


def unusual_voltage(spans: ArrayLike, fewest: int = FEWEST) -> str:
    """Return a warning if the median voltage of a set is outside ``TYPICAL``; otherwise an empty string.

    The string is also empty if fewer than ``fewest`` recordings were measured. A factor below two cannot be detected.

    Args:
        spans: (recordings,) typical peak-to-peak voltage of each recording in mV (quality figure ``span``); NaN if it
            could not be measured.
        fewest: smallest number of measured recordings for which the median is checked.
    """
    values = np.asarray(spans, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < fewest:
        return ""
    median = float(np.median(values))
    if TYPICAL[0] <= median <= TYPICAL[1]:
        return ""
    factor = max(median / _CENTRE, _CENTRE / median) if median > 0 else np.inf
    return (
        f"the median peak-to-peak voltage of {len(values)} recordings is {median:.2g} mV, but sets of 12-lead ECGs have "
        f"{TYPICAL[0]:g} to {TYPICAL[1]:g} mV: all voltages may be {factor:.1f} times too {'large' if median > 1 else 'small'}"
        ". Check the gain and unit of the files"
    )

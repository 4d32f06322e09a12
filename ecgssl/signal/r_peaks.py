"""R-peak detection in one lead by the steepness of the signal: the default detector of NeuroKit2 (Makowski et al. 2021).

QRS complexes are the parts where the smoothed absolute gradient exceeds 1.5 times its own moving average. The R-peak of a
complex is its most prominent local maximum. The peaks are those of ``neurokit2.ecg_findpeaks(method="neurokit")``, sample by
sample. This module implements the method with NumPy alone, because the import of neurokit2 takes longer than reading and
scoring a recording: it imports pandas, scikit-learn, matplotlib and scipy.stats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTHED = 0.1
"""Width in s of the moving average that smooths the absolute gradient."""
COMPARED = 0.75
"""Width in s of the moving average that the smoothed gradient is compared with."""
_RATIO = 1.5
_SHORTEST = 0.4
"""Shortest accepted QRS complex, relative to the mean length of all complexes."""
_REFRACTORY = 0.3
"""Smallest time in s between two peaks, and between the start of the recording and the first peak."""


def r_peaks(lead: NDArray[np.floating], sampling_rate: float) -> NDArray[np.intp]:
    """Return the sample indices of the R-peaks of a cleaned lead.

    The lead must be high-pass filtered at about 0.5 Hz, as ``ecgssl.signal.cleaning`` does. Peaks are positive deflections.

    Args:
        lead: (samples,) cleaned signal of one lead in mV, finite.
        sampling_rate: sampling rate in Hz.

    Returns:
        Increasing sample indices; empty if there is no QRS complex, or if the lead is shorter than ``COMPARED``.
    """
    widths = [int(np.rint(seconds * sampling_rate)) for seconds in (SMOOTHED, COMPARED)]
    if widths[0] < 1 or len(lead) < max(2, widths[1]):
        return np.zeros(0, dtype=np.intp)
    steep = _moving_mean(np.abs(np.gradient(lead)), widths[0])
    inside = steep > _RATIO * _moving_mean(steep, widths[1])
    change = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = change[~inside[change]], change[inside[change]]
    if not starts.size:
        return starts
    ends = ends[ends > starts[0]]
    complexes = list(zip(starts.tolist(), ends.tolist(), strict=False))
    if not complexes:
        return np.zeros(0, dtype=np.intp)
    shortest = np.mean(ends - starts[: len(ends)]) * _SHORTEST
    refractory = int(np.rint(sampling_rate * _REFRACTORY))
    peaks = [0]
    for start, end in complexes:
        if end - start >= shortest:
            found = _most_prominent(lead[start:end].tolist())
            if found is not None and start + found - peaks[-1] > refractory:
                peaks.append(start + found)
    return np.array(peaks[1:], dtype=np.intp)


def _moving_mean(values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Return the centred moving average with repeated end values, bit by bit that of ``scipy.ndimage.uniform_filter1d``.

    It is a running sum in float64, in the order of the samples, rounded to the type of ``values``.
    """
    before = width // 2
    padded = np.empty(len(values) + width - 1)
    padded[:before], padded[before + len(values) :] = values[0], values[-1]
    padded[before : before + len(values)] = values
    steps = np.empty(len(values))
    # add one by one, because np.sum adds in another order
    steps[0] = np.add.accumulate(padded[:width])[-1] / width
    steps[1:] = (padded[width:] - padded[:-width]) / width
    return np.add.accumulate(steps).astype(values.dtype)


def _most_prominent(values: list[float]) -> int | None:
    """Return the index of the local maximum with the largest prominence; ``None`` without a local maximum.

    The index of a plateau is that of its middle. The first of several equally prominent maxima is returned.
    """
    best, largest = None, -1.0
    last, lowest = len(values) - 1, min(values, default=0.0)
    i = 1
    while i < last:
        if values[i - 1] < values[i]:
            end = i + 1
            while end < last and values[end] == values[i]:
                end += 1
            if values[end] < values[i]:
                peak = (i + end - 1) // 2
                height = values[peak]
                # no prominence exceeds the height above the lowest value, so most small maxima need no search for their base
                if height - lowest > largest:
                    base = max(_lowest(values[peak::-1], height), _lowest(values[peak:], height))
                    if height - base > largest:
                        best, largest = peak, height - base
                i = end
        i += 1
    return best


def _lowest(values: list[float], height: float) -> float:
    """Return the lowest of the values before the first that exceeds ``height``."""
    lowest = height
    for value in values:
        if value > height:
            break
        if value < lowest:
            lowest = value
    return lowest

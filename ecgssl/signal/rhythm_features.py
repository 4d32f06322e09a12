"""Heart rate, RR irregularity and premature beats, computed from beat times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.qrs_detection import SIMILAR

Array = NDArray[np.floating]

EARLY, LATE = 0.85, 1.08
"""A premature beat follows an RR interval below ``EARLY`` times the median, and precedes one above ``LATE`` times it."""
BIN = 0.0625
"""Width of the bins of the RR entropy, relative to the median RR interval."""


def rhythm_features(times: Array, similarity: Array, seconds: float) -> dict[str, float]:
    """Return the rhythm features of ``ecgssl.signal.clinical_features`` by name.

    Args:
        times: (B,) times of the beats in s, ascending.
        similarity: (B,) correlation of each QRS complex with the dominant one.
        seconds: duration of the recording in s.

    Returns:
        Values by name; a feature is left out if it is undefined. Mean and heart rate need one RR interval, features of
        single intervals need two, and features of successive differences need three.
    """
    found: dict[str, float] = {}
    rr = np.diff(np.asarray(times, dtype=np.float64))
    if not len(rr):
        return found
    mean, median = float(rr.mean()), float(np.median(rr))
    found |= {"heart_rate": 60.0 / mean, "rr_mean": 1000 * mean}
    found["unlike_beats"] = float((similarity < SIMILAR).mean())
    if len(rr) < 2:
        return found
    spread = float(rr.std(ddof=1))
    found |= {"rr_sd": 1000 * spread, "rr_cv": spread / mean}
    found |= {"rr_shortest": float(rr.min()) / median, "rr_longest": float(rr.max()) / median}
    early = (rr[:-1] < EARLY * median) & (rr[1:] > LATE * median)
    found["premature_beats"] = 10.0 * int(early.sum()) / seconds
    found["premature_unlike_beats"] = 10.0 * int((early & (similarity[1:-1] < SIMILAR)).sum()) / seconds
    if len(rr) < 3:
        return found
    steps = np.diff(rr)
    rmssd = float(np.sqrt((steps**2).mean()))
    found |= {"rr_rmssd": 1000 * rmssd, "rr_rmssd_relative": rmssd / mean}
    found |= {"rr_pnn50": float((np.abs(steps) > 0.05).mean())}
    found["rr_median_step"] = float(np.median(np.abs(steps))) / median
    counts = np.unique(np.floor(rr / (BIN * median) + 0.5), return_counts=True)[1]
    share = counts / counts.sum()
    found["rr_entropy"] = float(-(share * np.log2(share)).sum())
    return found

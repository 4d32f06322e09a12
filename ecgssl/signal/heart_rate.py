"""Heart rate of a recording, stated only if two QRS detectors agree and the recording passes the quality checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.qrs_detection import SIMILAR, find_beats

_FEWEST_BEATS = 3
_APART = 0.1
"""Largest relative difference between the rates of the two detectors."""


@dataclass(frozen=True)
class PageChecks:
    """Results of the quality checks that a page or a table of recordings states.

    Args:
        rejected: reason codes of the rejection, separated by ";"; empty if the recording passes.
        heart_rate: rate of the quality checks (``ecgssl.signal.quality``) in beats per minute; ``None`` if there is none.
    """

    rejected: str
    heart_rate: float | None


def detected_rate(signal: NDArray[np.floating], sampling_rate: float) -> float | None:
    """Return 60 s divided by the median RR interval over all leads, in beats per minute; ``None`` without clear beats.

    Args:
        signal: (leads, samples) in mV, filtered or not; missing leads left out, samples at the end may be NaN.
        sampling_rate: sampling rate in Hz.
    """
    recorded = np.flatnonzero(np.isfinite(signal).any(axis=0))
    part = signal[:, : recorded[-1] + 1 if recorded.size else 0]
    beats = find_beats(part[np.isfinite(part).all(axis=1)], sampling_rate)
    if len(beats.times) < _FEWEST_BEATS or np.median(beats.similarity) < SIMILAR:
        return None
    return float(60 / np.median(np.diff(beats.times)))


def reliable_rate(signal: NDArray[np.floating], sampling_rate: float, checks: PageChecks) -> float | None:
    """Return the rate of the quality checks; ``None`` for a rejected recording, or if ``detected_rate`` differs by over 10 %.

    Args:
        signal, sampling_rate: see ``detected_rate``.
        checks: results of the quality checks of the same part of the recording.
    """
    if checks.rejected or checks.heart_rate is None:
        return None
    other = detected_rate(signal, sampling_rate)
    agree = other is not None and abs(other - checks.heart_rate) <= _APART * checks.heart_rate
    return checks.heart_rate if agree else None


def rate_text(signal: NDArray[np.floating], sampling_rate: float, checks: PageChecks | None) -> str:
    """Return the heart rate as text for a page.

    Args:
        signal, sampling_rate: see ``detected_rate``.
        checks: results of the quality checks; ``None`` if the page shows only a part of the leads or a simulation, so that
            there are none. The text is then that of ``detected_rate``.
    """
    rate = detected_rate(signal, sampling_rate) if checks is None else reliable_rate(signal, sampling_rate, checks)
    if rate is not None:
        return f"heart rate {rate:.0f}/min"
    found = checks is not None and (checks.rejected or checks.heart_rate is not None)
    return "heart rate not reliable" if found else "heart rate not measured"

"""Beat quality of cleaned leads: noise between beats, choice of a lead for beat detection, and template matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UPRIGHT = ("II", "I", "V5", "V4", "V6")
"""Leads with a positive R wave in most people.

R-peak detection is more reliable in these leads, because detectors can count a deep S wave as a second beat.
"""

_BEAT = (-0.25, 0.4)
_LAG, _PIECE, _PIECES_PER_SECOND = 0.01, 0.05, 20
_QUIET, _STEEP = 0.25, 0.93


def high_frequency(cleaned: NDArray[np.float32], sampling_rate: float) -> tuple[NDArray[np.float32], ...]:
    """Return the high-frequency noise between beats and the sharpness of the beats of each lead.

    Noise is measured with second differences over 10 ms (a high-pass filter at about 20 Hz) in segments of 50 ms. A QRS
    complex covers two or three of the twenty segments of a second; noise is present in all segments.

    Args:
        cleaned: (leads, samples) in mV.
        sampling_rate: sampling rate in Hz.

    Returns:
        (leads,) noise in mV: the lower quartile of the segment power in the noisiest second, converted to the standard
        deviation of white noise. (leads,) sharpness: ratio of the 0.93 quantile of the segment amplitudes to their
        median; 0 if the median is 0. Both are 0 if the signal is shorter than one segment.
    """
    lag = max(1, round(_LAG * sampling_rate))
    steps = 2.0 * cleaned[:, lag:-lag]
    np.subtract(cleaned[:, 2 * lag :], steps, out=steps)
    steps += cleaned[:, : -2 * lag]
    length = max(1, round(_PIECE * sampling_rate))
    leads, count = cleaned.shape[0], steps.shape[1] // length
    if count == 0:
        return np.zeros(leads, dtype=np.float32), np.zeros(leads, dtype=np.float32)
    pieces = steps[:, : count * length].reshape(leads, count, length)
    # the second difference of white noise has six times the power of the noise
    power = np.einsum("ijk,ijk->ij", pieces, pieces) / (6.0 * length)
    group = min(_PIECES_PER_SECOND, count)
    seconds = power[:, : count // group * group].reshape(leads, -1, group)
    quiet = int(_QUIET * group)
    noise = np.partition(seconds, quiet, axis=2)[:, :, quiet].max(axis=1)
    places = (count // 2, int(_STEEP * count))
    # sorting once is faster than two calls of np.partition
    ordered = np.sort(power, axis=1)[:, places]
    sharpness = np.sqrt(np.divide(ordered[:, 1], ordered[:, 0], where=ordered[:, 0] > 0, out=np.zeros(leads)))
    return np.sqrt(noise), sharpness.astype(np.float32)


def beat_lead(
    leads: Sequence[str], usable: NDArray[np.bool_], noise: NDArray[np.float32], sharpness: NDArray[np.float32],
    noise_limit: float,
) -> str | None:  # fmt: skip
    """Return the name of the best lead for beat detection, or ``None`` if no lead is usable.

    Leads with little noise are preferred, then leads in ``UPRIGHT``, then the lead with the sharpest beats.

    Args:
        leads: canonical names of the leads.
        usable: (leads,) bool, true for usable leads.
        noise, sharpness: (leads,) results of ``high_frequency``.
        noise_limit: noise limit in mV. A lead above the limit is selected only if all usable leads are above it.
    """
    ranks = [
        (noise[i] <= noise_limit, lead in UPRIGHT, float(sharpness[i]), lead)
        for i, lead in enumerate(leads)
        if usable[i]
    ]
    return max(ranks)[3] if ranks else None


def template_match(lead: NDArray[np.float32], peaks: NDArray[np.intp], sampling_rate: float) -> float:
    """Return the mean correlation of each beat with the average of the other beats.

    Template matching of Orphanidou et al. 2015 (doi:10.1109/JBHI.2014.2338351), with Pearson correlation from 0.25 s
    before to 0.4 s after the R-peak. A beat is excluded from its own template. White noise then has correlations below
    0.5; if the beat were included, they could reach 0.8 for few beats.

    Args:
        lead: (samples,) signal of one lead in mV.
        peaks: sample indices of the R-peaks.
        sampling_rate: sampling rate in Hz.

    Returns:
        Correlation from -1 to 1; NaN if there are fewer than two complete beats, or if a beat or template is constant.
    """
    window = np.arange(round(_BEAT[0] * sampling_rate), round(_BEAT[1] * sampling_rate) + 1)
    whole = peaks[(peaks + window[0] >= 0) & (peaks + window[-1] < lead.size)]
    if whole.size < 2:
        return float("nan")
    beats = lead[whole[:, None] + window].astype(np.float64)
    beats -= beats.mean(axis=1, keepdims=True)
    others = beats.sum(axis=0) - beats
    norms = np.linalg.norm(beats, axis=1) * np.linalg.norm(others, axis=1)
    if not (norms > 0).all():
        return float("nan")
    return float(np.mean(np.sum(beats * others, axis=1) / norms))

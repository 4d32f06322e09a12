"""Beats of a cleaned lead, and the noise between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UPRIGHT = ("II", "I", "V5", "V4", "V6")
"""Leads whose R wave points up in most hearts. Detectors count a deep S wave as a second beat, so R-peaks are more reliable
in these leads."""

_BEAT = (-0.25, 0.4)
_LAG, _PIECE, _PIECES_PER_SECOND = 0.01, 0.05, 20
_QUIET, _STEEP = 0.25, 0.93


def high_frequency(cleaned: NDArray[np.float32], sampling_rate: float) -> tuple[NDArray[np.float32], ...]:
    """Return high-frequency noise between the beats, and the sharpness of the beats.

    The noise is measured by second differences over 10 ms, a high-pass at about 20 Hz, in pieces of 50 ms. A QRS complex
    fills two or three of the twenty pieces of a second; noise fills all of them.

    Args:
        cleaned: (leads, samples) in mV.
        sampling_rate: sampling rate in Hz.

    Returns:
        (leads,) noise in mV: standard deviation of the white noise that has the power of the quiet quarter of the worst
        second. (leads,) sharpness: ratio of a high quantile of the pieces to their median; 0 if the median piece is
        silent.
    """
    lag = max(1, round(_LAG * sampling_rate))
    steps = cleaned[:, 2 * lag :] - 2.0 * cleaned[:, lag:-lag] + cleaned[:, : -2 * lag]
    length = max(1, round(_PIECE * sampling_rate))
    leads, count = cleaned.shape[0], steps.shape[1] // length
    if count == 0:
        return np.zeros(leads, dtype=np.float32), np.zeros(leads, dtype=np.float32)
    pieces = steps[:, : count * length].reshape(leads, count, length)
    # the second difference of white noise has six times its power
    power = np.einsum("ijk,ijk->ij", pieces, pieces) / (6.0 * length)
    group = min(_PIECES_PER_SECOND, count)
    seconds = power[:, : count // group * group].reshape(leads, -1, group)
    quiet = int(_QUIET * group)
    noise = np.partition(seconds, quiet, axis=2)[:, :, quiet].max(axis=1)
    places = (count // 2, int(_STEEP * count))
    # one sort is faster than two partitions
    ordered = np.sort(power, axis=1)[:, places]
    sharpness = np.sqrt(np.divide(ordered[:, 1], ordered[:, 0], where=ordered[:, 0] > 0, out=np.zeros(leads)))
    return np.sqrt(noise), sharpness.astype(np.float32)


def beat_lead(
    leads: Sequence[str], usable: NDArray[np.bool_], noise: NDArray[np.float32], sharpness: NDArray[np.float32],
    noise_limit: float,
) -> str | None:  # fmt: skip
    """Return the lead for beat detection: usable, with little noise, an upright R wave and the sharpest beats.

    Args:
        leads: canonical names.
        usable: (leads,) mask of the usable leads.
        noise, sharpness: result of ``high_frequency``.
        noise_limit: limit in mV; a lead above it is used only if all usable leads are above it.
    """
    ranks = [
        (noise[i] <= noise_limit, lead in UPRIGHT, float(sharpness[i]), lead)
        for i, lead in enumerate(leads)
        if usable[i]
    ]
    return max(ranks)[3] if ranks else None


def template_match(lead: NDArray[np.float32], peaks: NDArray[np.intp], sampling_rate: float) -> float:
    """Return the mean Pearson correlation of each beat (0.25 s before to 0.4 s after R) with the mean of the *other* beats.

    Template matching of Orphanidou et al. 2015 (doi:10.1109/JBHI.2014.2338351). The template of a beat leaves out the beat
    itself. Otherwise white noise would reach a correlation of 0.8 with few beats; so it stays below 0.5.

    Args:
        lead: (samples,) in mV.
        peaks: sample indices of the R-peaks.
        sampling_rate: sampling rate in Hz.

    Returns:
        Correlation from -1 to 1; NaN for fewer than two complete beats.
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

"""Quality figures of each lead before cleaning: flat sections, saturation, voltage, baseline wander and mains.

The figures are computed in one pass over segments of 0.2 s, which contain whole periods of 50 Hz and 60 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PIECE = 0.2
"""Length of a segment in s."""
STILL = 0.005
"""Largest peak-to-peak range in mV of a segment that counts as flat."""
MAINS = (50.0, 60.0)

_SECOND, _SPAN = 5, 10
_RUN = 3

Array = NDArray[np.float32]


@dataclass(frozen=True)
class RawFigures:
    """Quality figures before cleaning, each of shape (leads,).

    Args:
        deviation: standard deviation in mV.
        silence: length in s of the longest run of flat segments.
        railed: proportion of samples at the largest or smallest value of the lead, in runs of at least three samples.
        span: peak-to-peak voltage in mV, as the median over windows of 2 s.
        wander: baseline wander in mV, the difference between the highest and lowest mean of a second; NaN for less than
            2 s.
        mains: median amplitude over the segments in mV, at 50 or 60 Hz, whichever is larger; NaN if the sampling rate
            is too low for both.
    """

    deviation: Array
    silence: Array
    railed: Array
    span: Array
    wander: Array
    mains: Array


def bridge(raw: Array, finite: NDArray[np.bool_]) -> Array:
    """Return the signal with non-finite samples interpolated linearly.

    Args:
        raw: (leads, samples) in mV.
        finite: (leads, samples) bool, true where ``raw`` is finite.

    Returns:
        (leads, samples) in mV, finite; ``raw`` itself if all samples are finite. Gaps at the ends are filled with the
        nearest finite sample. A lead without finite samples is zero.
    """
    if finite.all():
        return raw
    signal = np.array(raw, dtype=np.float32)
    index = np.arange(raw.shape[1])
    for row, good in zip(signal, finite, strict=True):
        if not good.any():
            row[:] = 0.0
        elif not good.all():
            row[~good] = np.interp(index[~good], index[good], row[good])
    return signal


def raw_figures(signal: Array, sampling_rate: float) -> RawFigures:
    """Return the quality figures of each lead before cleaning.

    Args:
        signal: (leads, samples) in mV, finite, with at least one sample.
        sampling_rate: sampling rate in Hz.
    """
    leads, samples = signal.shape
    # remove the electrode offset, which can be a thousand times the ECG, to preserve float32 precision
    centred = signal - signal.mean(axis=1, keepdims=True)
    width = min(max(1, round(PIECE * sampling_rate)), samples)
    count = samples // width
    # the transposed copy makes the computation three times as fast
    across = np.ascontiguousarray(centred[:, : count * width].reshape(-1, width).T)
    highest, lowest = (extreme.reshape(leads, count) for extreme in (across.max(axis=0), across.min(axis=0)))
    projections = (_templates(width, sampling_rate) @ across).reshape(-1, leads, count)
    return RawFigures(
        deviation=np.sqrt(np.einsum("ij,ij->i", centred, centred) / samples),
        silence=_longest(highest - lowest <= STILL) * np.float32(width / sampling_rate),
        railed=_railed(centred),
        span=_span(highest, lowest),
        wander=_wander(projections[0]),
        mains=_mains(projections[1::2], projections[2::2]),
    )


@lru_cache(maxsize=32)
def _templates(width: int, sampling_rate: float) -> Array:
    """Return a matrix with ``width`` columns that projects a segment on its mean and on the mains frequencies.

    The first row is the mean. It is followed by a sine and a cosine for each mains frequency that is more
    than 5 Hz below the Nyquist frequency. Both have a Hann window, which reduces leakage from T waves and the baseline.
    """
    window = 1.0 - np.cos(2 * np.pi * (np.arange(width) + 0.5) / width)
    rows = [np.full(width, 1.0 / width)]
    for hertz in MAINS:
        # closer than 1 / PIECE Hz to the Nyquist frequency, a mains component overlaps with its alias
        if width > 1 and sampling_rate / 2 > hertz + 1 / PIECE:
            phase = 2 * np.pi * hertz / sampling_rate * np.arange(width)
            rows += [window * 2 / width * np.sin(phase), window * 2 / width * np.cos(phase)]
    return np.stack(rows).astype(np.float32)


def _longest(silent: NDArray[np.bool_]) -> Array:
    place = np.arange(silent.shape[1])
    last_loud = np.maximum.accumulate(np.where(silent, -1, place), axis=1)
    return np.max(place - last_loud, axis=1).astype(np.float32)


def _span(highest: Array, lowest: Array) -> Array:
    group = min(_SPAN, highest.shape[1])
    count = highest.shape[1] // group
    shape = (highest.shape[0], count, group)
    high = highest[:, : count * group].reshape(shape).max(axis=2)
    low = lowest[:, : count * group].reshape(shape).min(axis=2)
    return np.partition(high - low, count // 2, axis=1)[:, count // 2]


def _wander(means: Array) -> Array:
    leads, count = means.shape[0], means.shape[1] // _SECOND
    if count < 2:
        return np.full(leads, np.nan, dtype=np.float32)
    seconds = means[:, : count * _SECOND].reshape(leads, count, _SECOND).mean(axis=2)
    return np.asarray(seconds.max(axis=1) - seconds.min(axis=1), dtype=np.float32)


def _mains(sines: Array, cosines: Array) -> Array:
    frequencies, leads, count = sines.shape
    if frequencies == 0:
        return np.full(leads, np.nan, dtype=np.float32)
    # use the median: QRS complexes also have power at these frequencies, but only in about every fourth segment
    typical = np.partition(sines**2 + cosines**2, count // 2, axis=2)[:, :, count // 2]
    return np.asarray(np.sqrt(typical.max(axis=0)), dtype=np.float32)


def _railed(signal: Array) -> Array:
    leads, samples = signal.shape
    held = np.zeros(leads)
    for extreme in (signal.max(axis=1, keepdims=True), signal.min(axis=1, keepdims=True)):
        is_at = signal == extreme
        # most recordings have no runs, and this check is faster than locating runs
        if not (is_at[:, 2:] & is_at[:, 1:-1] & is_at[:, :-2]).any():
            continue
        at = np.flatnonzero(is_at)
        lead = at // samples
        starts = np.flatnonzero(np.diff(at, prepend=-2) + samples * np.diff(lead, prepend=-1) != 1)
        lengths = np.diff(starts, append=at.size)
        held += np.bincount(lead[starts], np.where(lengths >= _RUN, lengths, 0), leads)
    return np.minimum(held / samples, 1.0).astype(np.float32)

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
_BLOCK = 256
"""Number of segments that are transposed together. Their samples stay in the cache of the processor."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class RawFigures:
    """Quality figures before cleaning, each of shape (leads,), and the signal from which they are computed.

    Args:
        deviation: standard deviation in mV.
        silence: length in s of the longest run of flat segments.
        railed: proportion of samples at the largest or smallest value of the lead, in runs of at least three samples.
        span: peak-to-peak voltage in mV, as the median over windows of 2 s.
        wander: baseline wander in mV, the difference between the highest and lowest mean of a second; NaN for less than
            2 s.
        mains: median amplitude over the segments in mV, at 50 or 60 Hz, whichever is larger; NaN if the sampling rate
            is too low for both.
        centred: (leads, samples) signal in mV without the mean of each lead.
    """

    deviation: Array
    silence: Array
    railed: Array
    span: Array
    wander: Array
    mains: Array
    centred: Array


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


def raw_figures(signal: Array, sampling_rate: float, means: Array | None = None) -> RawFigures:
    """Return the quality figures of each lead before cleaning.

    Args:
        signal: (leads, samples) in mV, finite, with at least one sample.
        sampling_rate: sampling rate in Hz.
        means: (leads, 1) mean of each lead in mV, if the caller has computed it with ``signal.mean``.
    """
    leads, samples = signal.shape
    # remove the electrode offset, which can be a thousand times the ECG, to preserve float32 precision
    centred = signal - (signal.mean(axis=1, keepdims=True) if means is None else means)
    width = min(max(1, round(PIECE * sampling_rate)), samples)
    count = samples // width
    pieces = centred[:, : count * width].reshape(-1, width)
    # the transposed copy makes the computation three times as fast
    across = np.empty((width, len(pieces)), dtype=centred.dtype)
    for start in range(0, len(pieces), _BLOCK):
        across[:, start : start + _BLOCK] = pieces[start : start + _BLOCK].T
    highest, lowest = (extreme.reshape(leads, count) for extreme in (across.max(axis=0), across.min(axis=0)))
    projections = (_templates(width, sampling_rate) @ across).reshape(-1, leads, count)
    return RawFigures(
        deviation=np.sqrt(np.einsum("ij,ij->i", centred, centred) / samples),
        silence=_longest(highest - lowest <= STILL) * np.float32(width / sampling_rate),
        railed=_railed(centred, pieces.reshape(leads, count, width), highest, lowest),
        span=_span(highest, lowest),
        wander=_wander(projections[0]),
        mains=_mains(projections[1::2], projections[2::2]),
        centred=centred,
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
    if not silent.any():
        return np.zeros(len(silent), dtype=np.float32)
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


def _railed(signal: Array, pieces: NDArray[np.float32], highest: Array, lowest: Array) -> Array:
    """Return ``RawFigures.railed``. Only segments that contain an extreme value of their lead are searched.

    Args:
        signal: (leads, samples).
        pieces: (leads, segments, samples per segment), the samples of ``signal`` in whole segments.
        highest, lowest: (leads, segments) extreme values of each segment.
    """
    leads, samples = signal.shape
    width = pieces.shape[2]
    rest = signal[:, pieces.shape[1] * width :]
    # index 0 is the largest value, index 1 the smallest
    values = np.stack([highest.max(axis=1), lowest.min(axis=1)])
    if rest.size:
        values = np.stack([np.maximum(values[0], rest.max(axis=1)), np.minimum(values[1], rest.min(axis=1))])
    extreme, lead, piece = (np.stack([highest, lowest]) == values[:, :, None]).nonzero()
    row, sample = (pieces[lead, piece] == values[extreme, lead][:, None]).nonzero()
    at = ((extreme * leads + lead) * samples + piece * width)[row] + sample
    if rest.size:
        extreme, lead, sample = (rest == values[:, :, None]).nonzero()
        at = np.sort(np.append(at, (extreme * leads + lead + 1) * samples - rest.shape[1] + sample))
    # most recordings have no runs, and this check is faster than locating runs
    if not (at[_RUN - 1 :] - at[: 1 - _RUN] == _RUN - 1).any():
        return np.zeros(leads, dtype=np.float32)
    owner = at // samples
    starts = np.flatnonzero(np.diff(at, prepend=-2) + samples * np.diff(owner, prepend=-1) != 1)
    lengths = np.diff(starts, append=at.size)
    held = np.bincount(owner[starts], np.where(lengths >= _RUN, lengths, 0), 2 * leads).reshape(2, leads).sum(axis=0)
    return np.minimum(held / samples, 1.0).astype(np.float32)

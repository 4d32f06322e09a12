"""QRS detection and median beat of cleaned recordings, from all leads together.

The detector combines the slopes of all leads, so that a noisy or flat lead has little weight. It follows the usual steps:
band-pass and derivative (Pan & Tompkins, IEEE Trans Biomed Eng 32:230, 1985), combination of leads as in the spatial
velocity, adaptive threshold, refractory time, rejection of T waves, and search back after a long interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.ndimage import maximum_filter1d

Array = NDArray[np.floating]

RATE = 250.0
"""Sampling rate in Hz at which beats are located and measured."""
BEFORE, AFTER = 0.3, 0.56
"""Length of a beat before and after its QRS complex, in s."""
SIMILAR = 0.8
"""Smallest correlation of a QRS complex with the dominant one of the recording."""

_BAND = (4.0, 7.0, 22.0, 35.0)
_PAD = 0.4
_SMOOTH = 0.08
_REFRACTORY, _T_WAVE = 0.22, 0.36
_HEIGHT, _LOW_HEIGHT = 0.35, 0.18
_LEVEL_WINDOW = 1.6
_LAG, _CORE = 0.06, 0.08


@dataclass(frozen=True)
class Beats:
    """Beats of one recording.

    Args:
        times: (B,) times of the QRS complexes in s from the start of the recording, ascending. All complexes have the same
            reference point, found by the largest correlation with the dominant complex.
        similarity: (B,) correlation of each QRS complex with the dominant one over all leads, -1 to 1.
        complete: (C, leads, samples) complete beats with ``similarity >= SIMILAR`` in mV at ``RATE``, from ``BEFORE`` s
            before to ``AFTER`` s after the reference point; C may be 0.
        median: (leads, samples) median of ``complete``; ``None`` if there are no complete beats.
    """

    times: Array
    similarity: Array
    complete: Array
    median: Array | None


def find_beats(signal: NDArray[np.floating], sampling_rate: float) -> Beats:
    """Detect the QRS complexes of a cleaned recording, and average the beats.

    Args:
        signal: (leads, samples) cleaned signal in mV, present leads and recorded samples only.
        sampling_rate: sampling rate in Hz.
    """
    window = np.arange(-round(BEFORE * RATE), round(AFTER * RATE))
    empty = np.empty((0, len(signal), len(window)), dtype=np.float32)
    nothing = Beats(np.empty(0), np.empty(0), empty, None)
    if not len(signal) or signal.shape[1] < sampling_rate:
        return nothing
    fine, slope = _resample(signal, sampling_rate)
    peaks = _peaks(_envelope(slope))
    if not len(peaks):
        return nothing
    peaks, similarity = _align(slope, peaks)
    whole = (peaks + window[0] >= 0) & (peaks + window[-1] < fine.shape[1]) & (similarity >= SIMILAR)
    complete = np.stack([fine[:, p + window[0] : p + window[-1] + 1] for p in peaks[whole]]) if whole.any() else empty
    return Beats(peaks / RATE, similarity, complete, _median(complete))


def _median(beats: Array) -> Array | None:
    """Return the median over the first axis. Partitioning the last axis is three times as fast as ``numpy.median``."""
    count = len(beats)
    if not count:
        return None
    middle = count // 2
    flat = np.partition(np.ascontiguousarray(beats.reshape(count, -1).T), middle, axis=1)
    upper = flat[:, middle]
    found = upper if count % 2 else 0.5 * (flat[:, :middle].max(axis=1) + upper)
    return found.reshape(beats.shape[1:])


def _resample(signal: NDArray[np.floating], sampling_rate: float) -> tuple[Array, Array]:
    """Return the signal and its band-passed slope in mV/s at ``RATE``, both by the discrete Fourier transform.

    The signal is mirrored at its ends, because the transform assumes a periodic signal.
    """
    pad = round(_PAD * sampling_rate)
    x = np.asarray(signal, dtype=np.float32)
    padded = np.concatenate([x[:, pad:0:-1], x, x[:, -2 : -pad - 2 : -1]], axis=1)
    samples = padded.shape[1]
    wanted = round(samples * RATE / sampling_rate)
    spectrum = rfft(padded)[:, : wanted // 2 + 1]
    frequency = np.arange(spectrum.shape[1], dtype=np.float32) * np.float32(sampling_rate / samples)
    low, full, end, high = _BAND
    gain = np.clip((frequency - low) / (full - low), 0, 1) * np.clip((high - frequency) / (high - end), 0, 1)
    scale = np.float32(wanted / samples)
    start, count = round(_PAD * RATE), round(signal.shape[1] * RATE / sampling_rate)
    kept = slice(start, start + count)
    slope = irfft(spectrum * (np.complex64(2j * np.pi) * scale * frequency * gain), wanted)[:, kept]
    return irfft(spectrum * scale, wanted)[:, kept], slope


def _envelope(slope: Array) -> Array:
    """Return the smoothed weighted sum of the absolute slopes. Leads with large slopes between the beats have less weight."""
    size = np.abs(slope)
    ordered = np.sort(size[:, ::4], axis=1)
    quiet, steep = ordered[:, ordered.shape[1] // 2], ordered[:, int(0.97 * ordered.shape[1])]
    sharp = steep / np.maximum(quiet, 1e-6)
    weight = np.minimum(sharp, 30.0) ** 2 / np.maximum(steep, 1e-6)
    # limit single steps, such as of a loose electrode, to twice the usual slope of the lead
    combined = weight @ np.minimum(size, 2 * steep[:, None])
    width = round(_SMOOTH * RATE)
    kernel = np.hanning(width + 2)[1:-1].astype(np.float32)
    smoothed: Array = np.convolve(combined, kernel / kernel.sum(), mode="same")
    return smoothed


def _peaks(envelope: Array) -> NDArray[np.int64]:
    """Return the samples of the QRS complexes in an envelope."""
    width = round(_REFRACTORY * RATE)
    candidates = np.flatnonzero((envelope == maximum_filter1d(envelope, 2 * width + 1)) & (envelope > 0))
    if not len(candidates):
        return candidates
    parts = np.array_split(envelope, max(1, int(len(envelope) / RATE / _LEVEL_WINDOW)))
    level = float(np.median([part.max() for part in parts]))
    height = envelope[candidates]
    kept = _without_t_waves(candidates[height >= _HEIGHT * level], envelope)
    if len(kept) < 3:
        return kept
    usual, found = float(np.median(np.diff(kept))), [kept]
    for before, after in pairwise(kept.tolist()):
        if after - before > 1.6 * usual:
            margin = max(_T_WAVE * RATE, 0.4 * usual)
            inside = (candidates > before + margin) & (candidates < after - margin) & (height >= _LOW_HEIGHT * level)
            found.append(candidates[inside])
    return np.sort(np.concatenate(found))


def _without_t_waves(peaks: NDArray[np.int64], envelope: Array) -> NDArray[np.int64]:
    """Remove peaks soon after a peak of twice their height."""
    kept: list[int] = []
    for peak in peaks.tolist():
        if kept and peak - kept[-1] < _T_WAVE * RATE and envelope[peak] < 0.5 * envelope[kept[-1]]:
            continue
        kept.append(peak)
    return np.array(kept, dtype=np.int64)


def _align(slope: Array, peaks: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """Shift the peaks to the largest correlation with the dominant complex; return them and the correlations."""
    leads, samples = slope.shape
    reach, lag = round(_CORE * RATE), round(_LAG * RATE)
    margin, width = reach + lag, (2 * reach + 1) * leads
    # in this order a window of all leads is contiguous in memory, so that windows are rows of a view
    rows = np.zeros((samples + 2 * margin + 1, leads), dtype=np.float32)
    rows[margin : margin + samples] = slope.T
    step = rows.itemsize * leads
    windows = np.lib.stride_tricks.as_strided(
        rows, (samples + 2 * margin + 1 - 2 * reach, width), (step, rows.itemsize), writeable=False
    )
    total = np.concatenate([[0.0], np.cumsum(np.einsum("tl,tl->t", rows, rows), dtype=np.float64)])
    power = total[2 * reach + 1 :] - total[: -2 * reach - 1]
    lags = np.arange(-lag, lag + 1)
    moved = peaks
    for _ in range(2):
        template = _median(windows[moved + lag])
        assert template is not None
        norm = float(np.linalg.norm(template))
        if not norm > 0:
            return peaks, np.zeros(len(peaks))
        # choose the lag by the inner product, because a window of little power can have a large correlation
        dots = windows[peaks[:, None] + lags + lag] @ template
        best = dots.argmax(axis=1)
        moved = np.clip(peaks + lags[best], 0, samples - 1)
    similarity = dots.max(axis=1) / np.maximum(np.sqrt(power[moved + lag]) * norm, 1e-9)
    # two peaks of one complex may be shifted to the same place
    first = np.concatenate([[True], np.diff(moved) > _REFRACTORY * RATE / 2])
    return moved[first], np.clip(similarity[first], -1.0, 1.0)

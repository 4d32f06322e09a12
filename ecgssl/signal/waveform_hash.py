"""Waveform codes: short binary codes that identify a recording under another name, format, scale or sampling rate.

The idea is that of audio fingerprints (Haitsma and Kalker 2002): signs of a band-passed signal on a coarse grid of
instants, compared by the share of signs that differ. Signs know no unit, gain or quantisation. Two changes make them
fit for ECGs:

* Of the spectrum only the phase counts, as in phase-only correlation (Kuglin and Hines 1975). A regular rhythm has its
  energy in few harmonics, so two people whose hearts beat in step would share most signs; with every bin of equal
  weight, the signs follow what lies between the harmonics: how this stretch differs from beat to beat.
* The grid of a lead is set by its own signal: by the phase of the ``GRID`` component of its QRS energy. A copy that
  starts 20 ms later has its grid 20 ms earlier, so the instants stay the same, at most counted from the next one.

Only the eight independent leads count, each by itself, from the first ``SECONDS`` of the cleaned recording whatever
window the contract keeps. So codes agree across contracts of any sampling rate, duration and crop, as long as their
bands hold 2 to 22 Hz and their filters are zero-phase (``fir`` and ``neurokit``), and a lead that one copy lacks costs
that lead only. A recording that was cut elsewhere by more than a tenth of a second, inverted or recorded from paper has
another code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ecgssl.signal.leads import LEADS, arrange

VERSION = 2
"""Raised whenever the codes of equal recordings change; the first byte of a code."""

HASH_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
POINTS = 93
"""Instants of the grid in ``SECONDS``, less ``MARGIN`` at either end and what the grid's phase needs."""
LEAD_BYTES = 12
"""Bytes per lead; the last three bits are unused."""
HEADER_BYTES = 3
CODE_BYTES = HEADER_BYTES + LEAD_BYTES * len(HASH_LEADS)

SECONDS = 10.0
GRID = 0.1
MARGIN = 0.3
TAPER = 1.0
BAND = (3.0, 10.0)
CLOCK_BAND = (6.0, 18.0)

_FINE = 1000


def waveform_hash(
    signal: NDArray[np.float32], present: NDArray[np.bool_], sampling_rate: float, leads: Sequence[str] = LEADS
) -> str:
    """Return the code of a cleaned recording; ``ecgssl.signal.waveform_match`` compares two.

    Args:
        signal: (leads, samples) in any unit, finite, zero-phase band-passed; at least one second.
        present: (leads,) rows that carry a signal.
        sampling_rate: Hz.
        leads: canonical name of each row.

    Returns:
        Hex digits of: the version, the number of instants, one bit per lead of ``HASH_LEADS`` that is there, then
        ``POINTS`` signs per lead, each lead filled up to ``LEAD_BYTES``.
    """
    rows, there = arrange(signal[present], [name for name, row in zip(leads, present, strict=True) if row], HASH_LEADS)
    plan = _plan(float(sampling_rate), min(rows.shape[1], round(SECONDS * sampling_rate)))
    spectrum = fft.rfft(rows[:, : plan.taper.size] * plan.taper, plan.length, axis=1)[:, : plan.clock_gain.size]
    magnitude = np.abs(spectrum[:, plan.band])
    there &= magnitude.any(axis=1)
    turn = np.exp(2j * np.pi * np.outer(_phases(spectrum, plan), plan.frequency)).astype(np.complex64)
    turned = spectrum[:, plan.band] / np.maximum(magnitude, np.finfo(np.float32).tiny) * plan.gain * turn
    signs = np.zeros((len(HASH_LEADS), LEAD_BYTES * 8), dtype=bool)
    np.greater(turned.real @ plan.cosine, turned.imag @ plan.sine, out=signs[:, : plan.points])
    signs &= there[:, None]
    return bytes([VERSION, plan.points, *np.packbits(there), *np.packbits(signs)]).hex()


def _phases(spectrum: NDArray[np.complex64], plan: _Plan) -> NDArray[np.float64]:
    """(leads,) seconds from the recording's start to the first instant of the grid, in 0 to ``GRID``."""
    energy = fft.irfft(spectrum * plan.clock_gain, _FINE, axis=1) ** 2
    cosine, sine = (energy @ plan.clock).T.astype(np.float64)
    return np.arctan2(sine, cosine) / (2 * np.pi) * GRID % GRID


@dataclass(frozen=True)
class _Plan:
    """All that depends on the sampling rate and the number of samples alone.

    Args:
        taper: over the samples.
        length: of the FFT: ``SECONDS``, shorter recordings padded with zeros so that bins are the same.
        band, gain, frequency: bins of the signs, their gain, and Hz.
        points: instants of the grid.
        cosine, sine: from the bins to the instants of a grid of phase 0.
        clock_gain: gain of all lower bins for the QRS energy.
        clock: cosine and sine of the ``GRID`` component on ``_FINE`` points, weighted by half a sine: beats at the ends
            must not come and go.
    """

    taper: NDArray[np.float32]
    length: int
    band: slice
    gain: NDArray[np.float32]
    frequency: NDArray[np.float64]
    points: int
    cosine: NDArray[np.float32]
    sine: NDArray[np.float32]
    clock_gain: NDArray[np.float32]
    clock: NDArray[np.float32]


@lru_cache(maxsize=64)
def _plan(rate: float, samples: int) -> _Plan:
    length = round(SECONDS * rate)
    duration = samples / rate
    frequency = fft.rfftfreq(length, 1 / rate)
    gain, clock_gain = (_bell(frequency, *edges) for edges in (BAND, CLOCK_BAND))
    inside = np.flatnonzero(gain)
    # a rate too low for any of this leaves no bins, and then no lead that could be compared
    band = slice(int(inside.min(initial=length)), int(inside.max(initial=-1)) + 1)
    top = max(band.stop, np.flatnonzero(clock_gain).max(initial=0) + 1)
    points = max(1, int((duration - 2 * MARGIN - GRID) / GRID + 1e-6))
    angle = 2 * np.pi * np.outer(frequency[band], MARGIN + GRID * np.arange(points))
    middle = (np.arange(samples) + 0.5) / rate
    ends = np.clip(np.minimum(middle, duration - middle) / TAPER, 0.0, 1.0)
    fine = np.arange(_FINE) * (length / rate / _FINE)
    turn = 2 * np.pi * fine / GRID
    weight = np.where(fine < duration, np.sin(np.pi * fine / duration), 0.0)
    return _Plan(
        taper=(0.5 - 0.5 * np.cos(np.pi * ends)).astype(np.float32),
        length=length,
        band=band,
        gain=gain[band].astype(np.float32),
        frequency=frequency[band],
        points=points,
        cosine=np.cos(angle).astype(np.float32),
        sine=np.sin(angle).astype(np.float32),
        clock_gain=clock_gain[:top].astype(np.float32),
        clock=(weight * [np.cos(turn), np.sin(turn)]).T.astype(np.float32),
    )


def _bell(frequency: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Band-pass gain with raised-cosine edges: a half at either edge, nought past 0.7 ``low`` and 1.2 ``high``."""
    rising = np.clip((frequency / low - 0.7) / 0.6, 0.0, 1.0)
    falling = np.clip((1.2 - frequency / high) / 0.4, 0.0, 1.0)
    return (0.5 - 0.5 * np.cos(np.pi * rising)) * (0.5 - 0.5 * np.cos(np.pi * falling))

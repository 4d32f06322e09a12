"""Waveform codes: short binary codes for detecting copies of a recording with another name, format or sampling rate.

The method follows audio fingerprinting (Haitsma and Kalker 2002). A code contains the signs of a band-passed signal at
the points of a coarse time grid, and the distance of two codes is the proportion of differing signs. The signs do not
depend on unit and gain, and hardly on quantisation. Two changes adapt the method to ECGs:

* Only the phase of the spectrum is used, as in phase-only correlation (Kuglin and Hines 1975). The energy of a regular
  rhythm is in few harmonics, so that two recordings with equal heart rates would have similar signs. With equal weights
  of all frequency bins, the signs depend mainly on differences between beats.
* The grid of each lead is aligned with the QRS energy of the lead (phase of its component with period ``GRID``).
  Therefore a copy that starts 20 ms later has the same grid points, although its first point can be the next one.

The code is computed for each of the eight independent leads from the first ``SECONDS`` of the cleaned recording. Codes
can be compared across sampling rates and durations if the passband includes 2 to 22 Hz and the filter is
zero-phase (``fir`` and ``neurokit``). Leads that are missing in one recording are not compared. Copies are not detected
if they are inverted, digitised from paper, or shifted by more than 0.1 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from ecgssl.signal.leads import LEADS, arrange

VERSION = 2
"""Version of the codes, stored in their first byte. Increase it whenever the code of a recording changes."""

HASH_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
POINTS = 93
"""Number of grid points in ``SECONDS``, excluding ``MARGIN`` at each end and one grid step for the alignment."""
LEAD_BYTES = 12
"""Number of bytes per lead; the last three bits are unused."""
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
    """Return the waveform code of a cleaned recording, for comparison with ``ecgssl.signal.waveform_match``.

    Args:
        signal: (leads, samples) in any unit. It must be finite, filtered with a zero-phase band-pass, and at least 1 s
            long.
        present: (leads,) bool, true for leads that are present.
        sampling_rate: sampling rate in Hz.
        leads: canonical name of each row.

    Returns:
        Code in hex: version, number of grid points, one bit per lead of ``HASH_LEADS`` (1 if present and not 0), and ``POINTS``
        signs per lead, padded to ``LEAD_BYTES``.
    """
    if not present.all():
        signal, leads = signal[present], [name for name, row in zip(leads, present, strict=True) if row]
    rows, there = arrange(signal, leads, HASH_LEADS, copy=False)
    plan = _plan(float(sampling_rate), min(rows.shape[1], round(SECONDS * sampling_rate)))
    spectrum = scipy.fft.rfft(rows[:, : plan.taper.size] * plan.taper, plan.length, axis=1)[:, : plan.clock_gain.size]
    magnitude = np.abs(spectrum[:, plan.band])
    there &= magnitude.any(axis=1)
    turn = np.exp(2j * np.pi * np.outer(_phases(spectrum, plan), plan.frequency)).astype(np.complex64)
    turned = spectrum[:, plan.band] / np.maximum(magnitude, np.finfo(np.float32).tiny) * plan.gain * turn
    signs = np.zeros((len(HASH_LEADS), LEAD_BYTES * 8), dtype=bool)
    np.greater(turned.real @ plan.cosine, turned.imag @ plan.sine, out=signs[:, : plan.points])
    signs &= there[:, None]
    return (bytes([VERSION, plan.points]) + np.packbits(there).tobytes() + np.packbits(signs).tobytes()).hex()


def _phases(spectrum: NDArray[np.complex64], plan: _Plan) -> NDArray[np.float64]:
    """Return the time of the first grid point of each lead in s, from 0 to ``GRID``."""
    energy = scipy.fft.irfft(spectrum * plan.clock_gain, _FINE, axis=1) ** 2
    cosine, sine = (energy @ plan.clock).T.astype(np.float64)
    return np.arctan2(sine, cosine) / (2 * np.pi) * GRID % GRID


@dataclass(frozen=True)
class _Plan:
    """Precomputed constants for one sampling rate and number of samples.

    Args:
        taper: (samples,) taper applied to the signal.
        length: length of the FFT: number of samples in ``SECONDS``. Shorter recordings are zero-padded.
        band, gain, frequency: frequency bins used for the signs, their gain, and their frequencies in Hz.
        points: number of grid points.
        cosine, sine: matrices (bins, points) that compute the signal at the grid points from the frequency bins.
        clock_gain: gain of the frequency bins for computing the QRS energy.
        clock: (``_FINE``, 2) cosine and sine with period ``GRID``, with a half-sine window that reduces the effect of
            beats at the ends.
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
    frequency = scipy.fft.rfftfreq(length, 1 / rate)
    gain, clock_gain = (_bell(frequency, *edges) for edges in (BAND, CLOCK_BAND))
    inside = np.flatnonzero(gain)
    # if the sampling rate is too low, there are no frequency bins, and no lead is compared
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
    """Return a band-pass gain with raised-cosine edges: 1/2 at both edges, 0 below 0.7 low and above 1.2 high."""
    rising = np.clip((frequency / low - 0.7) / 0.6, 0.0, 1.0)
    falling = np.clip((1.2 - frequency / high) / 0.4, 0.0, 1.0)
    return (0.5 - 0.5 * np.cos(np.pi * rising)) * (0.5 - 0.5 * np.cos(np.pi * falling))

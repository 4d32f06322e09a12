"""Simulation of electrode noise.

Noise is generated for the potentials of nine electrodes and then converted to leads. Leads that use the same
electrode therefore share its noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_THIRD = 1.0 / 3.0
ELECTRODES_TO_LEADS: NDArray[np.float64] = np.array(
    [[-1, 1, 0, 0, 0, 0, 0, 0, 0], [-1, 0, 1, 0, 0, 0, 0, 0, 0]]
    + [[-_THIRD, -_THIRD, -_THIRD] + [1.0 if i == chest else 0.0 for i in range(6)] for chest in range(6)]
)
"""Matrix (8, 9) that converts the potentials of ``ELECTRODES`` to leads I, II and V1 to V6.

V1 to V6 are relative to Wilson's central terminal.
"""


@dataclass(frozen=True)
class Noise:
    """Noise levels per electrode. Levels are standard deviations in mV unless stated otherwise.

    Args:
        white: white noise (amplifier, resting muscle).
        pink: noise with a 1/f power spectrum (electrode contact).
        wander: baseline wander; its power decreases above 0.3 Hz.
        muscle: muscle noise (EMG) in the middle of a burst of 0.5 to 3 s on three consecutive ``ELECTRODES``; 0 for none.
        mains: maximum amplitude of the mains hum in mV.
        mains_frequency: mains frequency in Hz (50 or 60).
    """

    white: float = 0.003
    pink: float = 0.006
    wander: float = 0.03
    muscle: float = 0.0
    mains: float = 0.002
    mains_frequency: float = 50.0


def electrode_noise(noise: Noise, sampling_rate: float, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Generate noise for the potentials of ``ELECTRODES``.

    White noise, pink noise and baseline wander are generated together from the sum of their spectra.

    Args:
        noise: noise levels.
        sampling_rate: sampling rate in Hz. Mains hum is omitted unless its frequency is below half the sampling rate.
        samples: number of samples.
        rng: random generator.

    Returns:
        Noise (9, samples) in mV.
    """
    frequency = np.fft.rfftfreq(samples, 1 / sampling_rate)
    bins = len(frequency)
    pink = np.zeros(bins)
    pink[1:] = 1 / frequency[1:]
    wander = 1 / (1 + (frequency / 0.3) ** 4)
    wander[0] = 0
    power = noise.white**2 / bins + noise.pink**2 * pink / pink.sum() + noise.wander**2 * wander / wander.sum()
    # irfft divides by n and uses each bin twice; real and imaginary parts with standard deviation n/2 sqrt(p) give power p
    amplitude = 0.5 * samples * np.sqrt(power)
    # draw uniformly distributed bytes for speed; each sample is a sum over many bins and therefore nearly normal
    even = rng.integers(-128, 128, (len(ELECTRODES), 2 * bins), dtype=np.int8).astype(np.float32)
    even += 0.5
    draw = even.view(np.complex64)
    draw *= (amplitude / np.sqrt((256**2 - 1) / 12)).astype(np.float32)
    out = np.fft.irfft(draw, samples).astype(np.float32, copy=False)

    if noise.mains > 0 and noise.mains_frequency < sampling_rate / 2:
        hum = (2 * np.pi * noise.mains_frequency / sampling_rate) * np.arange(samples)
        size = noise.mains * rng.uniform(0.2, 1, len(ELECTRODES))
        lag = rng.uniform(0, 0.6, len(ELECTRODES))
        weights = np.stack([size * np.cos(lag), size * np.sin(lag)], axis=1).astype(np.float32)
        out += weights @ np.stack([np.sin(hum), np.cos(hum)]).astype(np.float32)
    if noise.muscle > 0:
        length = min(samples, int(rng.uniform(0.5, 3) * sampling_rate))
        start = int(rng.integers(0, samples - length + 1))
        electrode = int(rng.integers(0, len(ELECTRODES) - 2))
        envelope = np.sqrt(np.sin(np.linspace(0, np.pi, length))).astype(np.float32)
        # differentiate white noise, so that its power rises with frequency as in surface EMG
        burst = np.diff(rng.standard_normal((3, length + 1), dtype=np.float32))
        burst *= envelope * np.float32(noise.muscle / np.sqrt(2))
        out[electrode : electrode + 3, start : start + length] += burst
    return out

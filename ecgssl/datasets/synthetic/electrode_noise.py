"""Simulated electrode noise on the nine potentials, so that the derived leads obey the limb-lead laws."""

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
"""(8, 9) matrix from the potentials to I, II, V1 to V6; chest leads refer to the Wilson central terminal."""


@dataclass(frozen=True)
class Noise:
    """Noise levels of each electrode as standard deviations in mV, unless stated otherwise.

    Args:
        white: white noise of amplifier and resting muscle.
        pink: noise with a 1/f power spectrum (electrode contact).
        wander: baseline wander, with decreasing power above 0.3 Hz.
        muscle: EMG during a burst of 0.5 to 3 s on three neighbouring electrodes, 0 for none.
        mains: amplitude of the mains hum.
        mains_frequency: 50 or 60 Hz.
    """

    white: float = 0.003
    pink: float = 0.006
    wander: float = 0.03
    muscle: float = 0.0
    mains: float = 0.002
    mains_frequency: float = 50.0


def electrode_noise(noise: Noise, sampling_rate: float, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise on ``ELECTRODES``.

    White noise, pink noise and wander are drawn together from their common spectrum with one inverse Fourier transform.

    Args:
        noise: noise levels.
        sampling_rate: sampling rate in Hz; mains hum above half of it is omitted.
        samples: number of samples.
        rng: random generator.

    Returns:
        (9, samples) in mV.
    """
    frequency = np.fft.rfftfreq(samples, 1 / sampling_rate)
    bins = len(frequency)
    pink = np.zeros(bins)
    pink[1:] = 1 / frequency[1:]
    wander = 1 / (1 + (frequency / 0.3) ** 4)
    wander[0] = 0
    power = noise.white**2 / bins + noise.pink**2 * pink / pink.sum() + noise.wander**2 * wander / wander.sum()
    # irfft divides by the length and adds each bin to its mirror image, so a deviation of n/2 sqrt(p) gives power p
    amplitude = 0.5 * samples * np.sqrt(power)
    # coefficients are uniformly distributed bytes for speed: their sum over thousands of bins is nearly normal
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
        # the power of differentiated white noise rises with frequency, as that of surface EMG
        burst = np.diff(rng.standard_normal((3, length + 1), dtype=np.float32))
        burst *= envelope * np.float32(noise.muscle / np.sqrt(2))
        out[electrode : electrode + 3, start : start + length] += burst
    return out

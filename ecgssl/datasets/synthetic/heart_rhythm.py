"""Simulation of heart rhythms: sinus rhythm, atrial fibrillation and premature ventricular beats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAD_IN = 2.5
"""Approximate time in s before and after the recording with additional beats, so that its edges are realistic."""


@dataclass(frozen=True)
class Rhythm:
    """Times and types of B beats.

    Args:
        times: (B,) times of the R peaks in s from the start of the recording.
        rr: (B,) RR interval before each beat in s.
        ectopic: (B,) whether a beat is a premature ventricular beat.
    """

    times: Array
    rr: Array
    ectopic: NDArray[np.bool_]

    @property
    def repolarisation_rr(self) -> Array:
        """RR interval (B,) in s from which the QT interval of each beat is computed.

        It is 0.75 times the mean RR interval plus 0.25 times the preceding one, which is limited to 2 s.
        """
        return 0.75 * float(self.rr.mean()) + 0.25 * np.minimum(self.rr, 2.0)


def sinus_rhythm(
    rate: float,
    breathing: float,
    sinus_arrhythmia: float,
    variability: float,
    duration: float,
    rng: np.random.Generator,
) -> Rhythm:
    """Simulate sinus rhythm with respiratory sinus arrhythmia and a slow oscillation (0.1 Hz) of the RR interval.

    The two oscillations correspond to the two peaks of the RR spectrum in McSharry et al. (2003).

    Args:
        rate: mean heart rate in beats per minute.
        breathing: respiratory rate in Hz.
        sinus_arrhythmia: relative amplitude of the respiratory oscillation of the RR interval.
        variability: relative amplitude of the slow oscillation. Beat-to-beat noise has a fifth of this amplitude.
        duration: duration of the recording in s.
        rng: random generator.
    """
    mean = 60.0 / rate
    count = int((duration + 2 * LEAD_IN) / mean) + 2
    nominal = mean * np.arange(count)
    phase = rng.uniform(0, 2 * np.pi, 2)
    rr = 1 + sinus_arrhythmia * np.sin(2 * np.pi * breathing * nominal + phase[0])
    rr += variability * np.sin(2 * np.pi * 0.1 * nominal + phase[1])
    rr += 0.2 * variability * rng.standard_normal(count)
    return _from_intervals(rr * (mean / rr.mean()), rng)


def fibrillation_rhythm(rate: float, irregularity: float, duration: float, rng: np.random.Generator) -> Rhythm:
    """Simulate the irregular rhythm of atrial fibrillation.

    RR intervals are independent and log-normal, and are limited to 0.3 to 2.2 s.

    Args:
        rate: ventricular rate in beats per minute.
        irregularity: standard deviation of the logarithm of the RR interval.
        duration: duration of the recording in s.
        rng: random generator.
    """
    mean = 60.0 / rate
    count = int((duration + 2 * LEAD_IN) / mean) + 4
    rr = mean * np.exp(irregularity * rng.standard_normal(count))
    return _from_intervals(np.clip(rr, 0.3, 2.2), rng)


def with_ectopy(rhythm: Rhythm, beats: int, duration: float, rng: np.random.Generator) -> Rhythm:
    """Replace some beats of a rhythm by premature ventricular beats.

    The beat after a premature beat keeps its time (fully compensatory pause).

    Args:
        rhythm: rhythm without premature beats.
        beats: maximum number of premature beats. Two premature beats are never consecutive.
        duration: duration of the recording in s. Only beats later than 0.8 s after its start and earlier than 0.4 s before
            its end are replaced.
        rng: random generator.
    """
    times, ectopic = rhythm.times.copy(), rhythm.ectopic.copy()
    inside = np.flatnonzero((rhythm.times > 0.8) & (rhythm.times < duration - 0.4))
    for i in rng.permutation(inside):
        if ectopic.sum() >= beats:
            break
        if i == 0 or ectopic[i - 1] or (i + 1 < len(ectopic) and ectopic[i + 1]):
            continue
        interval = rhythm.times[i] - rhythm.times[i - 1]
        times[i] = rhythm.times[i - 1] + max(0.28, interval * rng.uniform(0.5, 0.72))
        ectopic[i] = times[i] < rhythm.times[i]
        if not ectopic[i]:
            times[i] = rhythm.times[i]
    return replace(rhythm, times=times, rr=np.diff(times, prepend=times[0] - rhythm.rr[0]), ectopic=ectopic)


def _from_intervals(rr: Array, rng: np.random.Generator) -> Rhythm:
    start = -LEAD_IN - rng.uniform(0, 1) * rr[0]
    return Rhythm(times=start + np.cumsum(rr), rr=rr, ectopic=np.zeros(len(rr), dtype=bool))

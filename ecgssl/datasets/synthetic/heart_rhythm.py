"""Simulated heart rhythm: RR intervals of sinus rhythm and atrial fibrillation, and premature ventricular beats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAD_IN = 2.5
"""Duration in s of the rhythm before and after the recording, so that beats at its edges are complete."""


@dataclass(frozen=True)
class Rhythm:
    """Times and types of beats.

    Args:
        times: (B,) R peaks in s, 0 is the first sample of the recording.
        rr: (B,) interval before the beat in s.
        ectopic: (B,) true for ventricular premature beats.
    """

    times: Array
    rr: Array
    ectopic: NDArray[np.bool_]

    @property
    def repolarisation_rr(self) -> Array:
        """Interval (B,) in s that determines the QT interval, which depends mainly on the mean rate."""
        return 0.75 * float(self.rr.mean()) + 0.25 * np.minimum(self.rr, 2.0)


def sinus_rhythm(
    rate: float,
    breathing: float,
    sinus_arrhythmia: float,
    variability: float,
    duration: float,
    rng: np.random.Generator,
) -> Rhythm:
    """Return regular beats with respiratory sinus arrhythmia and a slow (0.1 Hz) oscillation.

    The two oscillations are the high- and low-frequency peaks of the RR spectrum in McSharry et al. (2003).

    Args:
        rate: mean heart rate in beats per minute; the mean interval matches it exactly.
        breathing: respiratory rate in Hz.
        sinus_arrhythmia: relative amplitude of the respiratory oscillation of the RR interval.
        variability: relative amplitude of the slow oscillation; a fifth of it is added as beat-to-beat noise.
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
    """Return irregular beats: independent log-normal intervals above the refractory limit of the AV node.

    Args:
        rate: mean ventricular rate in beats per minute.
        irregularity: coefficient of variation of the intervals before the limit is applied.
        duration: duration of the recording in s.
        rng: random generator.
    """
    mean = 60.0 / rate
    count = int((duration + 2 * LEAD_IN) / mean) + 4
    rr = mean * np.exp(irregularity * rng.standard_normal(count))
    return _from_intervals(np.clip(rr, 0.3, 2.2), rng)


def with_ectopy(rhythm: Rhythm, beats: int, duration: float, rng: np.random.Generator) -> Rhythm:
    """Return the rhythm with some beats replaced by premature ventricular beats.

    The premature beat does not reset the sinus node: the following beat keeps its time, so the pause is fully compensatory.

    Args:
        rhythm: rhythm without premature beats.
        beats: maximum number of premature beats; no two are consecutive.
        duration: duration of the recording in s; replaced beats are inside it.
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

"""Vectorcardiogram model of the ECG: a cardiac dipole made of Gaussian waves, projected to the leads by a torso matrix.

The model follows McSharry, Clifford, Tarassenko and Smith (IEEE Trans Biomed Eng 50:289, 2003) and its extension to three
dipole components by Sameni, Clifford, Jutten and Shamsollahi (EURASIP J Adv Signal Process 2007:043407). In these papers,
waves are Gaussians of the cardiac phase theta, which increases by 2 pi per RR interval. Here, waves are Gaussians of the
time from the R peak, because the QRS duration does not depend on the heart rate. A centre ``c`` and a width ``w`` in seconds
correspond to the phases ``theta_i = 2 pi c / RR`` and ``b_i = 2 pi w / RR``. Only the ST segment and the T wave depend on
the heart rate, by the cube-root formula of Fridericia (Acta Med Scand 53:469, 1920).

The axes are those of the Dower matrix: x points to the left, y to the feet, z to the back. Dipoles are in mV.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

DOWER: Array = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
"""Dower matrix (8, 3), which converts Frank leads x, y, z to ``INDEPENDENT_LEADS`` (Dower et al., Clin Cardiol 3:87, 1980)."""

NORMAL_QRS = 0.09
"""Normal QRS duration in seconds."""

ONSET = 0.42
"""Fraction of the QRS duration before the R peak."""

REACH = 4.5
"""Number of standard deviations at which Gaussians are truncated; a wave of 1 mV is below 0.05 uV there."""

WAVES = 15
"""Number of Gaussians in a conducted beat: 2 for the P wave, 7 for QRS, 4 for the ST segment, 2 for the T wave."""

_ST_SHARES = (0.16, 0.44, 0.72, 1.0)


@dataclass(frozen=True)
class Waves:
    """K Gaussian waves that make up one type of beat.

    The centre of a wave is at ``centre + stretch * cbrt(RR)`` seconds after the R peak, with the RR interval in seconds.

    Args:
        centre: (K,) part of the centre that does not depend on the heart rate, in s.
        stretch: (K,) part of the centre that depends on the heart rate, in s; 0 for waves that do not depend on it.
        width: (K,) standard deviations in s. If ``stretch`` is positive, the width is also multiplied by ``cbrt(RR)``.
        vector: (K, 3) dipole at the centre of the wave, in mV.
    """

    centre: Array
    stretch: Array
    width: Array
    vector: Array


@dataclass(frozen=True)
class Heart:
    """Shape parameters of conducted beats.

    Args:
        p_wave: relative height of the P wave: 1 is normal, 0 means no P wave (atrial fibrillation).
        p_duration: duration of the P wave in s.
        pr: PR interval in s.
        qrs: QRS duration in s.
        qtc: QT interval in s at a heart rate of 60/min.
        block: side of a bundle branch block, or ``None``. The QRS shape changes gradually from normal at a QRS duration of
            95 ms to complete block at 135 ms.
        voltage: relative amplitude of the QRS complex. Above 1.3, the QRS axis turns to the left and back, and the T wave
            becomes discordant.
        t_height: relative height of the T wave.
        t_polarity: factor of the T wave along ``t_direction``; 1 is normal, negative values give inverted T waves.
        t_direction: unit vector of the direction that ``t_polarity`` scales.
        st: (3,) dipole of the ST segment in mV.
        shape: (``WAVES``, 3) relative deviation of each wave, which differs between patients.
    """

    p_wave: float = 1.0
    p_duration: float = 0.1
    pr: float = 0.16
    qrs: float = NORMAL_QRS
    qtc: float = 0.41
    block: Literal["left", "right"] | None = None
    voltage: float = 1.0
    t_height: float = 1.0
    t_polarity: float = 1.0
    t_direction: tuple[float, float, float] = (0.5, 0.3, -0.81)
    st: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shape: Array = field(default_factory=lambda: np.zeros((WAVES, 3)))


def conducted_beat(heart: Heart) -> Waves:
    """Return the Gaussian waves of a beat that is conducted from the atria."""
    degree = float(np.clip((heart.qrs - 0.095) / 0.04, 0, 1)) if heart.block else 0.0
    # a right block adds a late wave to a normal QRS complex; other causes prolong the whole complex
    body = min(heart.qrs, NORMAL_QRS) if heart.block == "right" else heart.qrs
    onset = -ONSET * (NORMAL_QRS if heart.block == "right" else heart.qrs)
    end = onset + heart.qrs

    p_start = onset - heart.pr
    p_centre = p_start + heart.p_duration * np.array([0.36, 0.64])
    p_width = heart.p_duration * np.array([0.16, 0.17])
    p_vector = heart.p_wave * np.array([[0.03, 0.075, -0.05], [0.06, 0.065, 0.03]])

    qrs_centre, qrs_width, qrs_vector = _qrs(body, onset, end, degree, heart.block)
    qrs_vector = qrs_vector * heart.voltage
    strain = max(heart.voltage - 1.3, 0.0)
    qrs_vector = qrs_vector + strain * np.linalg.norm(qrs_vector, axis=1, keepdims=True) * np.array([0.2, -0.12, 0.25])

    # in a block, the T wave is opposite to the QRS complex (right block: to its late part only)
    late = slice(4, 7) if heart.block == "right" and degree > 0 else slice(None)
    area = (qrs_vector * qrs_width[:, None])[late].sum(axis=0)
    against = area / max(float(np.linalg.norm(area)), 1e-9)
    t_vector = heart.t_height * np.array([0.28, 0.22, -0.15])
    direction = np.asarray(heart.t_direction, dtype=float)
    t_vector = t_vector + (heart.t_polarity - 1) * (t_vector @ direction) * direction
    discordance = degree * heart.voltage * (0.45 if heart.block == "left" else 0.3)
    t_vector = (1 - degree) * t_vector - (discordance + 0.15 * min(strain, 1.0)) * against
    # ST elevation also raises the T wave
    t_vector = t_vector + 0.6 * np.asarray(heart.st, dtype=float)
    t_vectors = np.outer([0.55, 0.72], t_vector)
    t_stretch = heart.qtc + np.array([-0.118, -0.07])
    t_width = np.array([0.048, 0.028])

    # model the ST segment by overlapping Gaussians between the end of the QRS complex and the T wave
    st_vector = np.asarray(heart.st, dtype=float) - 0.22 * discordance * against
    shares = np.array(_ST_SHARES)
    st_centre = end + (onset - end) * shares
    st_stretch = t_stretch[0] * shares
    st_width = np.full(len(shares), 0.036)
    st_vectors = np.outer([0.62, 0.62, 0.62, 0.5], st_vector)

    vector = np.concatenate([p_vector, qrs_vector, st_vectors, t_vectors])
    return Waves(
        centre=np.concatenate([p_centre, qrs_centre, st_centre, np.full(2, onset)]),
        stretch=np.concatenate([np.zeros(9), st_stretch, t_stretch]),
        width=np.concatenate([p_width, qrs_width, st_width, t_width]),
        vector=vector * (1 + heart.shape),
    )


def _qrs(
    body: float, onset: float, end: float, degree: float, block: Literal["left", "right"] | None
) -> tuple[Array, Array, Array]:
    """Return centres, widths and vectors of seven QRS waves: septal, apical, free wall, basal, and three for a block.

    Without a bundle branch block, the vectors of the last three are zero.
    """
    share = np.array([0.17, 0.37, 0.51, 0.72])
    centre = onset + body * share
    width = body * np.array([0.075, 0.115, 0.11, 0.105])
    vector = np.array([[-0.13, -0.07, -0.24], [0.78, 0.62, -0.2], [0.62, 0.5, 0.62], [-0.14, -0.16, 0.34]])
    if block == "left":
        # left block: no septal wave; two slow waves to the left and back form a notched plateau
        left = np.array([[0.05, 0.0, 0.02], [0.45, 0.2, 0.35], [0.55, 0.15, 0.55], [0.3, -0.05, 0.3]])
        vector = (1 - degree) * vector + degree * left
        late = np.array([[0.5, 0.2, 0.35], [0.62, 0.1, 0.55], [0.12, -0.1, 0.12]])
        late_centre = onset + (end - onset) * np.array([0.3, 0.66, 0.86])
        late_width = (end - onset) * np.array([0.1, 0.1, 0.07])
    elif block == "right":
        # right block: the right ventricle is activated last, which gives a slow wave to the right and front
        late = np.array([[-0.22, 0.05, -0.25], [-0.38, 0.0, -0.38], [-0.2, 0.02, -0.18]])
        late_centre = end - np.array([0.058, 0.04, 0.02])
        late_width = np.array([0.012, 0.014, 0.012])
    else:
        late = np.zeros((3, 3))
        late_centre = np.full(3, end)
        late_width = np.full(3, 0.01)
    return (
        np.concatenate([centre, late_centre]),
        np.concatenate([width, late_width]),
        np.concatenate([vector, degree * late]),
    )


def ectopic_beat(direction: ArrayLike, qrs: float, height: float, qtc: float = 0.42) -> Waves:
    """Return the Gaussian waves of a premature ventricular beat.

    The beat is wide and has no P wave. Its ST segment and T wave are opposite to the QRS complex.

    Args:
        direction: (3,) direction of the dipole in the QRS complex; its length has no effect.
        qrs: QRS duration in s, above 0.12.
        height: amplitude of the QRS dipole in mV.
        qtc: QT interval in s at a heart rate of 60/min.
    """
    main = np.asarray(direction, dtype=float)
    main = main / np.linalg.norm(main)
    side = np.cross(main, [0.3, 0.5, 0.81])
    onset = -ONSET * qrs
    return Waves(
        centre=np.concatenate([onset + qrs * np.array([0.25, 0.48, 0.78]), [onset + qrs, onset, onset]]),
        stretch=np.array([0, 0, 0, 0.02, qtc - 0.13, qtc - 0.08]),
        width=np.concatenate([qrs * np.array([0.11, 0.13, 0.1]), [0.04, 0.055, 0.035]]),
        vector=height
        * np.stack(
            [0.45 * main + 0.3 * side, 0.85 * main, 0.35 * main - 0.3 * side, -0.12 * main, -0.22 * main, -0.25 * main]
        ),
    )


def dipole(beats: list[tuple[Waves, Array, Array, Array]], sampling_rate: float, samples: int) -> Array:
    """Compute the dipole signal as the sum of all waves of all beats.

    Args:
        beats: for each type of beat, a tuple of its waves, the times (B,) of the R peaks in s, the RR intervals (B,) in s
            for the QT interval, and the gains (B,).
        sampling_rate: sampling rate in Hz.
        samples: number of samples. Waves outside these samples are cut off.

    Returns:
        Dipole (3, samples) in mV.
    """
    centres, widths, vectors = [], [], []
    for waves, times, rr, gain in beats:
        root = np.cbrt(rr)[:, None]
        centres.append((times[:, None] + waves.centre + waves.stretch * root).ravel())
        widths.append((waves.width * np.where(waves.stretch > 0, root, 1.0)).ravel())
        vectors.append((gain[:, None, None] * waves.vector).reshape(-1, 3))
    centre, width, vector = np.concatenate(centres), np.concatenate(widths), np.concatenate(vectors)

    # evaluate each Gaussian only where it is not negligible, and concatenate these windows in one array
    first = np.clip(np.ceil((centre - REACH * width) * sampling_rate), 0, samples).astype(np.int64)
    stop = np.clip(np.floor((centre + REACH * width) * sampling_rate) + 1, 0, samples).astype(np.int64)
    count = np.maximum(stop - first, 0) * np.any(vector != 0, axis=1)
    end = np.cumsum(count)
    index = np.arange(end[-1]) - np.repeat(end - count, count)
    # single precision is sufficient, because times are relative to the start of a window
    begin, step = (
        ((first / sampling_rate - centre) / width).astype(np.float32),
        (1 / (sampling_rate * width)).astype("f4"),
    )
    height = index.astype(np.float32)
    height *= np.repeat(step, count)
    height += np.repeat(begin, count)
    height *= height
    height *= -0.5
    np.exp(height, out=height)
    index += np.repeat(first, count)
    weights = np.repeat(vector.T.astype(np.float32), count, axis=1) * height
    return np.stack([np.bincount(index, weight, samples) for weight in weights])


def fibrillation(
    frequency: float, height: float, sampling_rate: float, samples: int, rng: np.random.Generator
) -> Array:
    """Simulate the atrial dipole in atrial fibrillation: a sawtooth with varying frequency and amplitude.

    Method: Stridh and Sornmo (IEEE Trans Biomed Eng 48:105, 2001). The signal consists of a frequency-modulated sine
    and two harmonics.

    Args:
        frequency: mean frequency of the fundamental in Hz, typically 4 to 9.
        height: approximate amplitude of the fundamental in mV.
        sampling_rate: sampling rate in Hz.
        samples: number of samples.
        rng: random generator.

    Returns:
        Dipole (3, samples) in mV.
    """
    t = np.arange(samples) / sampling_rate
    wander = rng.uniform(0, 2 * np.pi, 4)
    phase = 2 * np.pi * frequency * t
    phase += 1.2 * np.sin(2 * np.pi * 0.23 * t + wander[0]) + 0.7 * np.sin(2 * np.pi * 0.71 * t + wander[1])
    swell = 1 + 0.35 * np.sin(2 * np.pi * 0.37 * t + wander[2])
    saw = swell * (np.sin(phase) + 0.45 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase))
    second = swell * np.cos(phase + wander[3])
    # direct the dipole to the feet and the front, because fibrillatory waves are largest in II and V1
    return height * (np.outer([0.1, 0.55, -0.8], saw) + np.outer([0.25, 0.2, 0.1], second))


def torso(rng: np.random.Generator, angle: float = 10.0, spread: float = 0.04) -> Array:
    """Draw a random torso matrix (8, 3), which projects the dipole to ``INDEPENDENT_LEADS``.

    A random number is added to each coefficient of the Dower matrix, to simulate different electrode positions. The result
    is multiplied by a random rotation and a log-normal gain.

    Args:
        rng: random generator.
        angle: scale of the random rotation in degrees. The angles about x, y and z have standard deviations of 0.7, 1.0 and
            1.4 times ``angle``.
        spread: standard deviation of the random number added to each coefficient of the Dower matrix.
    """
    x, y, z = np.radians(angle) * rng.standard_normal(3) * [0.7, 1.0, 1.4]
    gain = np.exp(0.1 * rng.standard_normal())
    return gain * (DOWER + spread * rng.standard_normal(DOWER.shape)) @ _rotation(x, y, z)


def _rotation(x: float, y: float, z: float) -> Array:
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    rotation: Array = about_z @ about_y @ about_x
    return rotation


def twelve_leads(independent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the twelve leads in standard order from ``INDEPENDENT_LEADS`` (8, samples) by the limb-lead laws."""
    one, two = independent[0], independent[1]
    out = np.empty((12, independent.shape[1]), dtype=independent.dtype)
    out[:6] = one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2
    out[6:] = independent[2:]
    return out

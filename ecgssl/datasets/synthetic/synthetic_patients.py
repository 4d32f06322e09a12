"""Simulation of patients: random parameters of patients and recordings, and labels computed from the parameters.

Findings are drawn first. A finding determines the range from which its parameter (for example the QRS duration) is drawn.
Most labels are computed by comparing a parameter with a threshold; ``af`` and ``ectopy`` depend on the simulated rhythm.
The ranges overlap the thresholds slightly, so that some recordings are borderline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ecgssl.config.synthetic import Finding
from ecgssl.datasets.synthetic.electrode_noise import Noise
from ecgssl.datasets.synthetic.vectorcardiogram import WAVES, Heart, torso

Generator = np.random.Generator
Vector = tuple[float, float, float]

TARGETS: tuple[Finding, ...] = get_args(Finding)

BRADYCARDIA = 55.0
TACHYCARDIA = 105.0
LONG_PR = 0.2
WIDE_QRS = 0.12
RAISED_ST = 0.12
INVERTED_T = -0.1
HIGH_VOLTAGE = 1.45

_ST_TERRITORIES: dict[str, Vector] = {
    "anterior": (0.3, -0.1, -0.95),
    "inferior": (0.0, 0.95, 0.31),
    "lateral": (0.91, -0.36, 0.2),
}
_T_TERRITORIES: tuple[Vector, ...] = ((0.5, 0.3, -0.81), (0.78, 0.62, -0.1))


@dataclass(frozen=True)
class Patient:
    """Parameters that are the same in all recordings of a patient.

    Args:
        age: age in years.
        sex: ``F`` or ``M``.
        heart: shape of the beats in sinus rhythm without acute ST elevation.
        torso: (8, 3) matrix that projects the dipole to the independent leads.
        resting_rate: heart rate at rest in beats per minute.
        fibrillating: probability that a recording shows atrial fibrillation.
        st_territory: location of a possible ST elevation, such as ``anterior``; ``None`` for no ST elevation.
        ectopic_focus: (3,) main dipole direction of premature ventricular beats; ``None`` for no such beats.
        sinus_arrhythmia: relative amplitude of the respiratory oscillation of the RR interval.
    """

    age: int
    sex: str
    heart: Heart
    torso: NDArray[np.float64]
    resting_rate: float
    fibrillating: float
    st_territory: str | None
    ectopic_focus: Vector | None
    sinus_arrhythmia: float


@dataclass(frozen=True)
class Episode:
    """Parameters of one recording. Durations are in s, ``rate`` is in beats per minute, other rates in Hz, heights in mV."""

    heart: Heart
    torso: NDArray[np.float64]
    fibrillation: bool
    rate: float
    irregularity: float
    breathing: float
    sinus_arrhythmia: float
    variability: float
    fibrillatory_rate: float
    fibrillatory_height: float
    ectopic_beats: int
    ectopic_focus: Vector | None
    ectopic_qrs: float
    ectopic_height: float
    noise: Noise


@dataclass(frozen=True)
class Hospital:
    """How the patients and recordings of a hospital differ from the default.

    Args:
        age: mean and standard deviation of the age in years, before it is limited to 18 to 92.
        prevalence: factor for the probability of each finding; 1 for findings that are not listed.
        noise: factor for all noise levels.
        mains_frequency: mains frequency in Hz; 50 or 60 at random for each recording if ``None``.
    """

    age: tuple[float, float] = (60.0, 16.0)
    prevalence: Mapping[Finding, float] = field(default_factory=dict)
    noise: float = 1.0
    mains_frequency: float | None = None


DEFAULT_HOSPITAL = Hospital()


def draw_patient(rng: Generator, hospital: Hospital = DEFAULT_HOSPITAL) -> Patient:
    """Draw the parameters of a random patient. Most findings are more frequent at higher age."""
    age = int(np.clip(rng.normal(*hospital.age), 18, 92))
    sex = "F" if rng.random() < 0.5 else "M"
    ageing = float(np.exp(0.45 * np.clip((age - 60) / 16, -2, 2)))

    def has(finding: Finding, chance: float, ages: bool = True) -> bool:
        return bool(rng.random() < chance * hospital.prevalence.get(finding, 1.0) * (ageing if ages else 1.0))

    # each call draws a number: keep the order, so that a seed gives the same patients in every release
    fibrillates, blocked = has("af", 0.13), has("wide_qrs", 0.13)
    conducts_slowly, thick = has("first_degree_avb", 0.14), has("high_voltage", 0.14)
    slow, ischaemic = has("sinus_brady", 0.17, ages=False), has("st_elevation", 0.18)
    t_changed, ectopic = has("t_inversion", 0.17), has("ectopy", 0.14)

    pr = rng.uniform(0.19, 0.3) if conducts_slowly else np.clip(rng.normal(0.155, 0.018), 0.115, 0.21)
    qrs = rng.uniform(0.112, 0.165) if blocked else np.clip(rng.normal(0.09, 0.007), 0.072, 0.115)
    voltage = rng.uniform(1.35, 2.0) if thick else np.clip(rng.normal(1.0, 0.14), 0.65, 1.4)
    t_polarity = rng.uniform(-1.2, 0.1) if t_changed else np.clip(rng.normal(0.95, 0.2), 0.2, 1.5)
    heart = Heart(
        p_wave=float(np.exp(0.2 * rng.standard_normal())),
        p_duration=float(np.clip(rng.normal(0.1, 0.009), 0.075, 0.125)),
        pr=float(pr),
        qrs=float(qrs - (0.004 if sex == "F" and not blocked else 0)),
        qtc=float(np.clip(rng.normal(0.415, 0.016), 0.37, 0.47) + (0.01 if sex == "F" else 0)),
        block=("left" if rng.random() < 0.5 else "right") if blocked else None,
        voltage=float(voltage * (0.95 if sex == "F" and not thick else 1.0)),
        t_height=float(np.exp(0.2 * rng.standard_normal())),
        t_polarity=float(t_polarity),
        t_direction=_T_TERRITORIES[int(rng.integers(len(_T_TERRITORIES)))],
        shape=0.13 * rng.standard_normal((WAVES, 3)),
    )
    return Patient(
        age=age,
        sex=sex,
        heart=heart,
        torso=torso(rng),
        resting_rate=float(rng.normal(49.5, 4.5) if slow else np.clip(rng.normal(73, 9), 52, 100)),
        fibrillating=float(rng.choice([1.0, 0.6])) if fibrillates else 0.0,
        st_territory=str(rng.choice(list(_ST_TERRITORIES))) if ischaemic else None,
        ectopic_focus=_focus(rng) if ectopic else None,
        sinus_arrhythmia=float(rng.uniform(0.01, 0.06) * np.clip(1.6 - age / 100, 0.6, 1.4)),
    )


def draw_episode(patient: Patient, rng: Generator, hospital: Hospital = DEFAULT_HOSPITAL) -> Episode:
    """Draw the parameters of a random recording of a patient, such as rhythm, heart rate, ST elevation and noise."""
    fibrillation = bool(rng.random() < patient.fibrillating)
    fast = rng.random() < 0.14 * hospital.prevalence.get("sinus_tachy", 1.0)
    rate = rng.normal(117, 12) if fast else patient.resting_rate + rng.normal(0, 4)
    if fibrillation:
        rate = rng.normal(95, 22)
    rate = float(np.clip(rate, 38, 150))
    acute = patient.st_territory is not None and rng.random() < 0.8
    height = rng.uniform(0.09, 0.32) if acute else min(abs(rng.normal(0, 0.025)), 0.08)
    territory = patient.st_territory if acute and patient.st_territory else "anterior"
    st = tuple(float(height * v) for v in _unit(_ST_TERRITORIES[territory]))
    heart = replace(
        patient.heart,
        p_wave=0.0 if fibrillation else patient.heart.p_wave,
        # the AV node conducts faster at higher rates
        pr=float(np.clip(patient.heart.pr - 0.0002 * (rate - 70), 0.1, 0.32)),
        st=(st[0], st[1], st[2]),
        t_height=patient.heart.t_height * float(np.exp(0.06 * rng.standard_normal())),
    )
    level = float(np.exp(0.45 * rng.standard_normal())) * (2.5 if rng.random() < 0.08 else 1.0)
    ectopic = patient.ectopic_focus is not None and rng.random() < 0.85
    noise = hospital.noise
    return Episode(
        heart=heart,
        torso=patient.torso * (1 + 0.03 * rng.standard_normal(patient.torso.shape)),
        fibrillation=fibrillation,
        rate=rate,
        irregularity=float(rng.uniform(0.17, 0.3)),
        breathing=float(rng.uniform(0.2, 0.33)),
        sinus_arrhythmia=patient.sinus_arrhythmia * min(1.0, 75 / rate),
        variability=float(rng.uniform(0.005, 0.02)),
        fibrillatory_rate=float(rng.uniform(4.5, 8.5)),
        fibrillatory_height=float(rng.uniform(0.025, 0.09)),
        ectopic_beats=int(rng.integers(1, 5)) if ectopic else 0,
        ectopic_focus=patient.ectopic_focus,
        ectopic_qrs=float(rng.uniform(0.135, 0.17)),
        ectopic_height=float(rng.uniform(1.3, 2.2)),
        noise=Noise(
            white=0.005 * level * noise,
            pink=0.01 * level * noise,
            wander=float(0.05 * np.exp(0.6 * rng.standard_normal())) * min(level, 2.0) * noise,
            muscle=0.03 * level * noise if rng.random() < 0.2 else 0.0,
            mains=float(rng.uniform(0, 0.006)) * noise,
            mains_frequency=_mains_frequency(rng, hospital),
        ),
    )


def labels(episode: Episode, ectopic_beats: int) -> dict[str, float]:
    """Compute the labels of a recording: 1, 0, or NaN if the criterion does not apply.

    The PR criterion does not apply in atrial fibrillation. The criteria for ST segment, T wave and voltage do not apply to
    wide QRS complexes, because abnormal conduction also changes ST segment, T wave and voltage.

    Args:
        episode: parameters of the recording.
        ectopic_beats: number of premature ventricular beats in the recording.
    """
    heart, sinus = episode.heart, not episode.fibrillation
    wide = heart.qrs > WIDE_QRS

    def narrow(value: bool) -> float:
        return float("nan") if wide else float(value)

    return {
        "af": float(not sinus),
        "sinus_brady": float(sinus and episode.rate < BRADYCARDIA),
        "sinus_tachy": float(sinus and episode.rate > TACHYCARDIA),
        "first_degree_avb": float(heart.pr > LONG_PR) if sinus else float("nan"),
        "wide_qrs": float(wide),
        "st_elevation": narrow(float(np.linalg.norm(heart.st)) > RAISED_ST),
        "t_inversion": narrow(heart.t_polarity < INVERTED_T),
        "high_voltage": narrow(heart.voltage > HIGH_VOLTAGE),
        "ectopy": float(ectopic_beats > 0),
    }


def _mains_frequency(rng: Generator, hospital: Hospital) -> float:
    # draw in any case, so that the following random numbers do not depend on the hospital
    drawn = float(rng.choice([50.0, 60.0]))
    return drawn if hospital.mains_frequency is None else hospital.mains_frequency


def _focus(rng: Generator) -> Vector:
    # dipole directions of beats that start in the outflow tract, the left free wall and the apex (away from the start)
    foci = np.array([[0.2, 0.95, 0.25], [-0.7, 0.2, -0.7], [0.3, -0.85, 0.4]])
    main = foci[int(rng.integers(len(foci)))] + 0.2 * rng.standard_normal(3)
    return float(main[0]), float(main[1]), float(main[2])


def _unit(vector: Vector) -> NDArray[np.float64]:
    array = np.asarray(vector)
    unit: NDArray[np.float64] = array / np.linalg.norm(array)
    return unit

"""Simulated faults of known kind and size, added to recordings to measure the sensitivity of the quality checks.

Noise, mains interference and baseline wander are added to electrode potentials, so the leads still obey the limb-lead laws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.datasets.synthetic.electrode_noise import ELECTRODES, ELECTRODES_TO_LEADS
from ecgssl.datasets.synthetic.vectorcardiogram import twelve_leads
from ecgssl.signal.leads import CHEST_LEADS, LEADS, LIMB_LEADS, LIMB_MATRIX

Array = NDArray[np.float32]
Planted = tuple[Array, tuple[str, ...]]
"""Changed recording and affected leads. A finding must list one of these leads; with no leads, any finding counts."""
Plant = Callable[[Array, float, np.random.Generator], Planted]
"""Function that adds a fault to a recording: (12, samples) in mV in canonical lead order, sampling rate in Hz, generator."""

_ARMS = [[-1, 0], [-1, 1]]
_ARM_AND_LEG = {"left": [[0, 1], [1, 0]], "right": [[1, -1], [0, -1]]}
_ROUND = [[-1, 1], [-1, 0]]


@dataclass(frozen=True)
class Fault:
    """One simulated fault.

    Args:
        group: kind of fault.
        name: variant or size of the fault.
        codes: reason codes; any of them counts as a detection.
        plant: function that adds the fault to a recording.
        least_rate: lowest sampling rate in Hz that can represent the fault.
    """

    group: str
    name: str
    codes: tuple[str, ...]
    plant: Plant
    least_rate: float = 0.0


def _noise(signal: Array, potentials: NDArray[np.floating]) -> Array:
    return signal + twelve_leads((ELECTRODES_TO_LEADS @ potentials).astype(np.float32))


def _white(decibels: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        typical = float(np.median(signal.std(axis=1)))
        # divide by sqrt(2), because a limb lead is the difference of two electrode potentials
        size = typical / 10 ** (decibels / 20) / np.sqrt(2)
        return _noise(signal, size * rng.standard_normal((len(ELECTRODES), signal.shape[1]))), ()

    return plant


def _muscle(size: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        samples = signal.shape[1]
        length = min(samples, round(3 * rate))
        start, first = int(rng.integers(0, samples - length + 1)), int(rng.integers(0, len(ELECTRODES) - 2))
        frequency = np.fft.rfftfreq(length, 1 / rate)
        burst = rng.standard_normal((3, length))
        band = (frequency > 20) & (frequency < 150)
        burst = np.fft.irfft(np.fft.rfft(burst) * band, length)
        potentials = np.zeros((len(ELECTRODES), samples))
        potentials[first : first + 3, start : start + length] = size * burst / burst.std()
        return _noise(signal, potentials), ()

    return plant


def _hum(hertz: float, size: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        # vary the frequency, because the mains frequency deviates by up to about 0.1 Hz
        phase = 2 * np.pi * (hertz + rng.uniform(-0.1, 0.1)) * np.arange(signal.shape[1]) / rate
        potentials = np.zeros((len(ELECTRODES), signal.shape[1]))
        chest = int(rng.integers(0, 6))
        potentials[3 + chest] = size * np.sin(phase + rng.uniform(0, 2 * np.pi))
        return _noise(signal, potentials), (CHEST_LEADS[chest],)

    return plant


def _wander(size: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        time = np.arange(signal.shape[1]) / rate
        potentials = np.zeros((len(ELECTRODES), signal.shape[1]))
        chest = int(rng.integers(0, 6))
        potentials[3 + chest] = size / 2 * np.sin(2 * np.pi * rng.uniform(0.12, 0.3) * time + rng.uniform(0, 2 * np.pi))
        return _noise(signal, potentials), (CHEST_LEADS[chest],)

    return plant


def _still(seconds: float | None, value: float = 0.0) -> Plant:
    """Return a fault that sets one lead to ``value`` (NaN for a gap) for some seconds, or for the whole recording."""

    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        out, lead = signal.copy(), int(rng.integers(0, len(LEADS)))
        length = signal.shape[1] if seconds is None else max(1, round(seconds * rate))
        start = int(rng.integers(0, signal.shape[1] - length + 1))
        out[lead, start : start + length] = value
        return out, (LEADS[lead],)

    return plant


def _clipped(share: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        out, lead = signal.copy(), int(rng.integers(0, len(LEADS)))
        if rng.random() < 0.5:
            out[lead] = np.minimum(out[lead], np.quantile(out[lead], 1 - share))
        else:
            out[lead] = np.maximum(out[lead], np.quantile(out[lead], share))
        return out, (LEADS[lead],)

    return plant


def _limb_electrodes(recorded: Sequence[Sequence[float]]) -> Plant:
    """Return a fault that replaces leads I and II with ``recorded`` @ (I, II). The chest leads do not change."""

    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        limb = LIMB_MATRIX @ np.asarray(recorded, dtype=np.float64) @ signal[:2]
        return np.concatenate([limb, signal[6:]]).astype(np.float32), ()

    return plant


def _exchanged(first: str, second: str) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        out, rows = signal.copy(), [LEADS.index(first), LEADS.index(second)]
        out[rows] = out[rows[::-1]]
        return out, () if first in LIMB_LEADS else (first, second)

    return plant


def _copied(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
    out = signal.copy()
    first = int(rng.integers(6, 11))
    out[first + 1] = out[first] + np.float32(0.3)
    return out, (LEADS[first], LEADS[first + 1])


def _scaled(lead: str | None, factor: float) -> Plant:
    def plant(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
        out = signal.copy()
        out[slice(None) if lead is None else LEADS.index(lead)] *= np.float32(factor)
        return out, ()

    return plant


def _only_noise(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
    return _noise(np.zeros_like(signal), 0.2 * rng.standard_normal((len(ELECTRODES), signal.shape[1]))), ()


def _spike(signal: Array, rate: float, rng: np.random.Generator) -> Planted:
    out, lead = signal.copy(), int(rng.integers(0, len(LEADS)))
    start = int(rng.integers(0, signal.shape[1] - round(0.1 * rate)))
    out[lead, start : start + round(0.1 * rate)] += np.float32(30.0)
    return out, (LEADS[lead],)


_ANY_NOISE = ("hf_noise", "noisy", "no_beats", "heart_rate")

FAULTS: tuple[Fault, ...] = (
    *(Fault("white noise", f"{db} dB", _ANY_NOISE, _white(db)) for db in (18, 12, 6, 0)),
    Fault("white noise", "no ECG at all", _ANY_NOISE, _only_noise),
    *(Fault("muscle, 3 s", f"{size * 1000:g} uV", ("hf_noise",), _muscle(size)) for size in (0.05, 0.1, 0.2)),
    *(
        Fault(f"mains {hz} Hz", f"{size * 1000:g} uV", ("mains",), _hum(hz, size), 250)
        for hz in (50, 60)
        for size in (0.03, 0.05, 0.1)
    ),
    *(Fault("baseline wander", f"{size:g} mV", ("wander",), _wander(size)) for size in (2, 4, 8)),
    Fault("flat lead", "whole", ("flat",), _still(None)),
    *(Fault("flat lead", f"{seconds} s", ("flat",), _still(seconds)) for seconds in (5, 2, 1)),
    *(Fault("clipped lead", f"{share:.0%} of samples", ("railed",), _clipped(share)) for share in (0.02, 0.05, 0.1)),
    Fault("NaN", "one sample", ("nan",), _still(0, np.nan)),
    Fault("NaN", "1 s", ("nan",), _still(1, np.nan)),
    Fault("NaN", "whole lead", ("nan",), _still(None, np.nan)),
    Fault("limb electrodes", "left and right arm", ("limb_swap",), _limb_electrodes(_ARMS)),
    Fault("limb electrodes", "right arm and leg", ("limb_swap",), _limb_electrodes(_ARM_AND_LEG["right"])),
    Fault("limb electrodes", "left arm and leg", ("limb_swap",), _limb_electrodes(_ARM_AND_LEG["left"])),
    Fault("limb electrodes", "all three", ("limb_swap",), _limb_electrodes(_ROUND)),
    *(
        Fault("chest electrodes", f"{a} and {b}", ("chest_swap",), _exchanged(a, b))
        for a, b in (("V1", "V2"), ("V1", "V3"), ("V1", "V6"), ("V2", "V4"), ("V2", "V5"), ("V3", "V5"), ("V4", "V6"))
    ),
    *(
        Fault("chest electrodes", f"{a} and {b}", ("chest_swap",), _exchanged(a, b))
        for a, b in (("V2", "V3"), ("V3", "V4"), ("V4", "V5"), ("V5", "V6"))
    ),
    *(Fault("inverted lead", lead, ("limb_law", "limb_swap"), _scaled(lead, -1)) for lead in ("I", "II", "aVF")),
    *(Fault("inverted lead", lead, ("chest_swap",), _scaled(lead, -1)) for lead in LEADS[6:]),
    Fault("names", "aVL and aVF exchanged", ("limb_law",), _exchanged("aVL", "aVF")),
    Fault("names", "I and II exchanged", ("limb_law",), _exchanged("I", "II")),
    Fault("names", "-aVR (Cabrera)", ("limb_law",), _scaled("aVR", -1)),
    Fault("names", "a chest lead copied to the next", ("identical",), _copied),
    Fault("unit", "uV read as mV", ("unit_suspect",), _scaled(None, 1000)),
    Fault("unit", "V read as mV", ("unit_suspect",), _scaled(None, 0.001)),
    Fault("unit", "lead III twice as large", ("limb_law",), _scaled("III", 2)),
    Fault("spike", "30 mV for 0.1 s", ("amplitude",), _spike),
)
"""All faults that ``benchmarks/quality.py`` measures."""

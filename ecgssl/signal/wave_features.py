"""QRS duration, amplitudes, axes, ST level, T and P waves, measured in the median beat of a recording.

All leads have the same onsets and ends, which are found in the root mean square over the leads. Amplitudes are relative to
the mean of the 24 ms before the QRS onset. The cleaning filters change the waves: a low-pass filter at 40 Hz lowers narrow
R waves and widens the QRS complex, and a high-pass filter at 0.5 Hz moves the ST level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.qrs_detection import BEFORE, RATE, Beats

Array = NDArray[np.floating]

SMALLEST_T, SMALLEST_P = 0.03, 0.015
"""Smallest peak of the root mean square over the leads in mV at which QT (PR) is measured."""
SMALLEST_R = 0.05
"""Smallest R amplitude in mV; a complex below it is a QS complex."""
REGULAR_P = 0.5
"""Smallest ``p_consistency`` at which the P wave is measured."""

_R = round(BEFORE * RATE)
_EDGE, _QUIET = 0.06, 0.02
_MS = 1000.0 / RATE
"""Milliseconds per sample."""


def wave_features(beats: Beats, leads: Sequence[str]) -> dict[str, float]:
    """Return the features of the median beat by name; features that cannot be measured are left out.

    Args:
        beats: beats of a recording, as returned by ``find_beats``.
        leads: canonical name of each lead of the beats.
    """
    beat = beats.median
    if beat is None:
        return {}
    edges = qrs_edges(beat)
    if edges is None:
        return {}
    onset, end = edges
    start = max(0, math.floor(onset) - round(0.028 * RATE))
    stop = max(start + 1, math.floor(onset) - round(0.004 * RATE))
    level = beat[:, start:stop].mean(axis=1, keepdims=True)
    above = beat - level
    found = {"qrs_duration": (end - onset) * _MS}
    first, last = math.floor(onset), math.ceil(end)
    found |= _qrs(above[:, first : last + 1], leads)
    rr = float(np.median(np.diff(beats.times))) if len(beats.times) > 1 else math.inf
    found |= _repolarisation(above, leads, onset, end, rr)
    found |= _p_wave(beats.complete, beat, leads, first, rr)
    area = {lead: float(row.sum()) for lead, row in zip(leads, above[:, first : last + 1], strict=True)}
    found |= _axis(area, "qrs_axis")
    found |= _axis({lead: found[f"t_{lead}"] for lead in leads if f"t_{lead}" in found}, "t_axis")
    if "qrs_axis" in found and "t_axis" in found:
        found["qrs_t_angle"] = abs((found["qrs_axis"] - found["t_axis"] + 180.0) % 360.0 - 180.0)
    return found


def qrs_edges(beat: Array) -> tuple[float, float] | None:
    """Return onset and end of the QRS complex in the median beat, in samples, with interpolation between samples.

    The slope is the root mean square of the slopes of the leads. The complex ends where the slope remains below 6 % of its
    maximum, or below twice its value in the quietest quarter of the beat if this is larger, for 20 ms.

    Args:
        beat: (leads, samples) median beat in mV at ``RATE``.

    Returns:
        Onset and end; ``None`` if an edge is not found within 0.14 s before, or 0.2 s after, the largest slope.
    """
    slope = np.sqrt(np.square(beat[:, 2:] - beat[:, :-2]).mean(axis=0))
    slope = np.concatenate([slope[:1], slope, slope[-1:]])
    near = slice(_R - round(0.1 * RATE), _R + round(0.1 * RATE))
    top = int(slope[near].argmax()) + near.start
    limit = max(_EDGE * float(slope[top]), 2.0 * float(np.partition(slope, len(slope) // 4)[len(slope) // 4]))
    if not limit < 0.5 * float(slope[top]):
        return None
    quiet = slope < limit
    length = round(_QUIET * RATE)
    runs = np.convolve(quiet, np.ones(length), mode="valid") == length  # runs[i]: samples i to i + length - 1 are quiet
    before, after = np.flatnonzero(runs[: top - length + 1]), np.flatnonzero(runs[top:])
    if not len(before) or not len(after):
        return None
    onset, end = int(before[-1]) + length - 1, int(after[0]) + top
    if top - onset > 0.14 * RATE or end - top > 0.2 * RATE:
        return None
    return _crossing(slope, onset, onset + 1, limit), _crossing(slope, end - 1, end, limit)


def _crossing(values: Array, left: int, right: int, limit: float) -> float:
    change = float(values[right]) - float(values[left])
    return left + (limit - float(values[left])) / change if change else float(left)


def _qrs(complex_: Array, leads: Sequence[str]) -> dict[str, float]:
    """Return Q, R and S amplitudes of each lead, the largest limb and chest voltages, and the hypertrophy voltages."""
    peak = complex_.argmax(axis=1)
    found: dict[str, float] = {}
    for row, top, lead in zip(complex_, peak.tolist(), leads, strict=True):
        r = float(row[top])
        if r < SMALLEST_R:
            found |= {f"r_{lead}": max(r, 0.0), f"s_{lead}": max(-float(row.min()), 0.0)}
            found[f"q_{lead}"] = found[f"s_{lead}"]
        else:
            found[f"r_{lead}"] = r
            found[f"q_{lead}"] = max(-float(row[: top + 1].min()), 0.0)
            found[f"s_{lead}"] = max(-float(row[top:].min()), 0.0)
    heights = np.ptp(complex_, axis=1)
    for name, limb in (("qrs_limb_voltage", True), ("qrs_chest_voltage", False)):
        chosen = [float(h) for h, lead in zip(heights, leads, strict=True) if lead.startswith("V") != limb]
        if chosen:
            found[name] = max(chosen)
    if {"V1", "V5", "V6"} <= set(leads):
        found["sokolow_lyon"] = found["s_V1"] + max(found["r_V5"], found["r_V6"])
    if {"aVL", "V3"} <= set(leads):
        found["cornell"] = found["r_aVL"] + found["s_V3"]
    return found


def _repolarisation(above: Array, leads: Sequence[str], onset: float, end: float, rr: float) -> dict[str, float]:
    """Return ST level and T amplitude of each lead, and QT if the T wave is large enough."""
    found: dict[str, float] = {}
    j60 = round(end + 0.06 * RATE)
    # the T wave ends before the next P wave
    stop = min(above.shape[1], round(_R + min(0.56, max(0.3, 0.72 * rr)) * RATE))
    if j60 < stop:
        found |= {f"st_{lead}": float(v) for lead, v in zip(leads, above[:, j60], strict=True)}
    first = round(end + 0.07 * RATE)
    if stop - first < 0.08 * RATE:
        return found
    part = above[:, first:stop]
    largest = np.abs(part).argmax(axis=1)
    found |= {f"t_{lead}": float(row[i]) for lead, row, i in zip(leads, part, largest.tolist(), strict=True)}
    size = np.sqrt(np.square(part).mean(axis=0))
    top = int(size[: max(1, len(size) - round(0.04 * RATE))].argmax())
    fall = np.diff(size[top:])
    if size[top] < SMALLEST_T or len(fall) < 0.04 * RATE:
        return found
    steepest = int(fall.argmin())
    rest = float(size[top:].min())
    if fall[steepest] >= 0 or rest > 0.6 * size[top]:
        return found
    t_end = first + top + steepest + 0.5 + (float(size[top + steepest]) - rest) / -float(fall[steepest])
    qt = (t_end - onset) / RATE
    if 0.2 <= qt <= 0.7 and qt < rr:
        found["qt"] = 1000 * qt
        if math.isfinite(rr):
            found["qtc"] = 1000 * qt / rr ** (1 / 3)
    return found


def _p_wave(complete: Array, beat: Array, leads: Sequence[str], onset: int, rr: float) -> dict[str, float]:
    """Return how regular the signal before the QRS complex is, the P amplitudes, and PR if there is a regular P wave."""
    # the window begins after the T wave of the preceding beat
    start = max(
        0, onset - round(0.26 * RATE), _R - round((rr - min(0.45, 0.6 * rr)) * RATE) if math.isfinite(rr) else 0
    )
    stop = onset - round(0.012 * RATE)
    if stop - start < 0.08 * RATE:
        return {}
    parts = _straightened(complete[:, :, start:stop])
    found: dict[str, float] = {}
    if len(parts) >= 3:
        flat = parts.reshape(len(parts), -1)
        total = flat.sum(axis=0)
        others = total - flat
        norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(others, axis=1)
        if (norms > 0).all():
            found["p_consistency"] = float((np.einsum("bi,bi->b", flat, others) / norms).mean())
        # n / (n - 1) makes the mean square unbiased
        residual = flat - total / len(flat)
        found["p_residual"] = float(np.sqrt(np.square(residual).mean() * len(flat) / (len(flat) - 1)))
    wave = _straightened(beat[None, :, start:stop])[0]
    size = np.sqrt(np.square(wave).mean(axis=0))
    top = int(size.argmax())
    found["p_size"] = float(size[top])
    found |= {f"p_{lead}": float(wave[i, top]) for i, lead in enumerate(leads) if lead in ("II", "V1")}
    if found.get("p_consistency", 0.0) < REGULAR_P or size[top] < SMALLEST_P:
        return found
    low = np.flatnonzero(size[: top + 1] < 0.3 * size[top])
    if len(low):
        found["pr"] = (onset - start - _crossing(size, int(low[-1]), int(low[-1]) + 1, 0.3 * float(size[top]))) * _MS
    return found


def _straightened(parts: Array) -> Array:
    """Return signals minus the straight line through the means of their first and last 12 ms, along the last axis."""
    count, width = parts.shape[-1], round(0.012 * RATE)
    first, last = parts[..., :width].mean(axis=-1, keepdims=True), parts[..., -width:].mean(axis=-1, keepdims=True)
    slope = np.linspace(0, 1, count, dtype=parts.dtype)
    return parts - (first + (last - first) * slope)


def _axis(amplitude: Mapping[str, float], name: str) -> dict[str, float]:
    """Return the frontal axis in degrees from leads I and aVF, with its cosine and sine.

    Lead aVF is multiplied by 2 / sqrt(3), because it is an augmented lead of Einthoven's triangle. The axis is undefined
    without these leads and for amplitudes of about 0.
    """
    if "I" not in amplitude or "aVF" not in amplitude:
        return {}
    x, y = amplitude["I"], amplitude["aVF"] * 2 / math.sqrt(3)
    size = math.hypot(x, y)
    if size < 1e-3:
        return {}
    return {name: math.degrees(math.atan2(y, x)), f"{name}_cosine": x / size, f"{name}_sine": y / size}

"""Classical ECG measurements of a cleaned recording: rhythm, intervals, amplitudes, axes and voltages.

They are the inputs of the clinical baseline (docs/evaluation.md). Each feature has a unit and a source. A feature that
cannot be measured, because a lead is absent or the recording is too short, is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import LEADS
from ecgssl.signal.qrs_detection import find_beats
from ecgssl.signal.rhythm_features import rhythm_features
from ecgssl.signal.wave_features import wave_features

VERSION = 1
"""Version of the definitions. Increase it when a feature changes, so that cached values are computed again."""


@dataclass(frozen=True)
class Feature:
    """A measurement.

    Args:
        name: name of the feature.
        unit: unit; 1 for shares, ratios and correlations.
        meaning: how it is measured.
        source: publication of the definition, or ``standard`` for a measurement of every textbook.
    """

    name: str
    unit: str
    meaning: str
    source: str = "standard"


_TASK_FORCE = "Task Force ESC/NASPE, Circulation 93:1043, 1996"
_AHA = "Surawicz et al., Circulation 119:e235, 2009"

FEATURES: tuple[Feature, ...] = (
    Feature("heart_rate", "1/min", "60 s divided by the mean RR interval"),
    Feature("rr_mean", "ms", "mean RR interval", _TASK_FORCE),
    Feature("rr_sd", "ms", "standard deviation of the RR intervals", _TASK_FORCE),
    Feature("rr_cv", "1", "standard deviation divided by the mean of the RR intervals", _TASK_FORCE),
    Feature("rr_rmssd", "ms", "root mean square of the differences of successive RR intervals", _TASK_FORCE),
    Feature("rr_rmssd_relative", "1", "rr_rmssd divided by rr_mean", "Dash et al., Ann Biomed Eng 37:1701, 2009"),
    Feature("rr_pnn50", "1", "share of successive RR intervals that differ by more than 50 ms", _TASK_FORCE),
    Feature("rr_median_step", "1", "median difference of successive RR intervals, relative to their median"),
    Feature(
        "rr_entropy", "bit", "Shannon entropy of the RR intervals in bins of 1/16 of their median", "Dash et al. 2009"
    ),
    Feature("rr_shortest", "1", "shortest RR interval relative to the median"),
    Feature("rr_longest", "1", "longest RR interval relative to the median"),
    Feature(
        "premature_beats", "1/10 s", "beats after an RR interval below 0.85 and before one above 1.08 of the median"
    ),
    Feature("premature_unlike_beats", "1/10 s", "premature beats whose QRS complex differs from the dominant one"),
    Feature("unlike_beats", "1", "share of beats with a correlation below 0.8 with the dominant QRS complex"),
    Feature("qrs_duration", "ms", "QRS duration of the median beat over all leads", _AHA),
    Feature(
        "qt",
        "ms",
        "QRS onset to the end of the T wave by the tangent",
        "Lepeschkin & Surawicz, Circulation 6:378, 1952",
    ),
    Feature("qtc", "ms", "QT divided by the cube root of the median RR interval in s", "Fridericia 1920"),
    Feature("pr", "ms", "onset of a regular P wave to the QRS onset"),
    Feature(
        "p_consistency", "1", "mean correlation of the signal before each QRS complex with that of the other beats"
    ),
    Feature("p_residual", "mV", "root mean square difference of the signals before the QRS complexes from their mean"),
    Feature("p_size", "mV", "largest root mean square over the leads before the QRS complex"),
    Feature("p_II", "mV", "P amplitude in lead II"),
    Feature("p_V1", "mV", "P amplitude in lead V1"),
    Feature("qrs_axis", "degree", "frontal axis of the QRS area in leads I and aVF", _AHA),
    Feature("qrs_axis_cosine", "1", "cosine of qrs_axis"),
    Feature("qrs_axis_sine", "1", "sine of qrs_axis"),
    Feature("t_axis", "degree", "frontal axis of the T amplitudes in leads I and aVF"),
    Feature("t_axis_cosine", "1", "cosine of t_axis"),
    Feature("t_axis_sine", "1", "sine of t_axis"),
    Feature("qrs_t_angle", "degree", "frontal angle between QRS axis and T axis, 0 to 180"),
    Feature("qrs_limb_voltage", "mV", "largest peak-to-peak QRS amplitude of the limb leads"),
    Feature("qrs_chest_voltage", "mV", "largest peak-to-peak QRS amplitude of the chest leads"),
    Feature("sokolow_lyon", "mV", "S in V1 plus the larger R of V5 and V6", "Sokolow & Lyon, Am Heart J 37:161, 1949"),
    Feature("cornell", "mV", "R in aVL plus S in V3", "Casale et al., J Am Coll Cardiol 6:572, 1985"),
    *(
        Feature(f"{wave}_{lead}", "mV", f"{meaning} in lead {lead}, median beat")
        for wave, meaning in (
            ("q", "depth of the Q wave (of the complex, if there is no R wave)"),
            ("r", "R amplitude"),
            ("s", "depth of the S wave (of the complex, if there is no R wave)"),
            ("st", "ST level 60 ms after the J point"),
            ("t", "T amplitude with its sign"),
        )
        for lead in LEADS
    ),
)
"""All features, in the order of the values that ``clinical_features`` returns."""

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def clinical_features(
    signal: NDArray[np.floating],
    sampling_rate: float,
    leads: Sequence[str],
    lead_mask: NDArray[np.bool_],
    recorded: int | None = None,
) -> NDArray[np.float32]:
    """Return the features of one recording in the order of ``FEATURES``; NaN where a feature cannot be measured.

    Args:
        signal: (leads, samples) cleaned signal in mV, not normalised.
        sampling_rate: sampling rate in Hz.
        leads: canonical names of the leads.
        lead_mask: (leads,) true for leads that are present and may be used.
        recorded: number of recorded samples from the start; by default all.
    """
    seen = np.flatnonzero(lead_mask)
    present = np.asarray(signal)[seen, :recorded]
    beats = find_beats(present, sampling_rate)
    found = rhythm_features(beats.times, beats.similarity, present.shape[1] / sampling_rate)
    found |= wave_features(beats, [leads[i] for i in seen.tolist()])
    return np.array([found.get(name, np.nan) for name in NAMES], dtype=np.float32)

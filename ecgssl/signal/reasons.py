"""Reason codes of rejected, masked or flagged recordings, with description, default action and limit.

To add a reason code of the quality checks, add it to ``ReasonCode`` and ``REASONS``. To add a reason code of a reader,
add it to ``READ_TEXTS``. Tests check that no entry is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecgssl.extras import install_line

Policy = Literal["reject", "mask", "flag"]
ReasonCode = Literal[
    "nan", "flat", "railed", "amplitude", "hf_noise", "wander", "mains", "identical", "chest_swap",
    "unit_suspect", "limb_law", "limb_swap", "no_beats", "heart_rate", "noisy",
]  # fmt: skip
"""Reason codes of the quality checks."""


@dataclass(frozen=True)
class Reason:
    """Definition of a reason code of the quality checks.

    Args:
        scope: ``lead`` or ``recording``. The action ``mask`` is possible only for ``lead``.
        policy: default action, which ``quality.policy`` can change.
        text: description of the problem for reports.
        figure: description of the quality figure that is compared with the limit.
        unit: unit of the quality figure; empty for proportions and counts.
        limit: name of the field of ``QualityParams`` with the limit; ``None`` if the limit is fixed.
        allowed: accepted range relative to the limit: values ``up to`` or ``from`` the limit, or ``between`` two
            limits.
    """

    scope: Literal["lead", "recording"]
    policy: Policy
    text: str
    figure: str
    unit: str = ""
    limit: str | None = None
    allowed: Literal["up to", "from", "between"] = "up to"


REASONS: dict[ReasonCode, Reason] = {
    "nan": Reason("lead", "mask", "a lead has gaps", "share of samples without a value", "", "nan_fraction"),
    "flat": Reason(
        "lead", "mask", "a lead is flat throughout or for too long", "time without any movement", "s", "flat_seconds"
    ),
    "railed": Reason(
        "lead", "mask", "a lead stays at its largest or smallest value: the amplifier was saturated",
        "share of samples at the extreme values", "", "railed_fraction",
    ),
    "amplitude": Reason(
        "lead", "reject", "the voltage is too large for an ECG", "largest voltage after cleaning", "mV", "amplitude"
    ),
    "hf_noise": Reason(
        "lead", "flag", "high-frequency noise between the beats, from muscles or the mains",
        "noise between beats in the worst second", "mV", "hf_noise",
    ),
    "wander": Reason("lead", "flag", "the baseline wanders", "movement of the baseline", "mV", "wander"),
    "mains": Reason("lead", "flag", "mains interference at 50 or 60 Hz", "amplitude at 50 or 60 Hz", "mV", "mains"),
    "identical": Reason(
        "lead", "flag", "two leads are identical", "difference from the most similar lead", "", "identical", "from"
    ),
    "chest_swap": Reason(
        "lead", "flag", "two chest electrodes are probably exchanged",
        "share by which the leads agree better with the two exchanged", "", "chest_swap",
    ),
    "unit_suspect": Reason(
        "recording", "reject", "the voltages are so small or large that the stated unit is probably wrong",
        "typical peak-to-peak voltage", "mV", "span", "between",
    ),
    "limb_law": Reason(
        "recording", "flag", "the limb leads contradict each other: exchanged, inverted or in a wrong unit",
        "departure from the limb-lead laws", "", "limb_residual",
    ),
    "limb_swap": Reason(
        "recording", "flag", "two limb electrodes are probably exchanged",
        "share by which the leads agree better with limb electrodes exchanged", "", "limb_swap",
    ),
    "no_beats": Reason("recording", "flag", "no beats are found", "number of beats, too few for a heart rate"),
    "heart_rate": Reason(
        "recording", "flag", "the heart rate is implausible", "heart rate", "/min", "heart_rate", "between"
    ),
    "noisy": Reason(
        "recording", "flag", "the beats differ so much from each other that noise is likely",
        "similarity of the beats", "", "template_match", "from",
    ),
}  # fmt: skip

READ_TEXTS = {
    "missing_file": "the file does not exist",
    "unreadable": "the file cannot be opened or is not a regular file",
    "format": "the file format is not supported",
    "header": "the description of the signal in the file is missing or invalid",
    "content": "the content does not match the file format",
    "compressed": "the compression of the waveform is not supported or the compressed data are invalid",
    "entities": "the XML contains entity declarations, which are refused",
    "link": "the file refers to a file outside its folder",
    "member": "the file contains several recordings, but none or an unknown one is selected",
    "missing_extra": f"a reader that is not installed is needed: {install_line('ecgdatakit')}",
    "too_large": "the file is larger than a recording can be",
    "no_leads": "none of the twelve leads is in the file",
    "leads": "the lead names are missing or do not match the rows; set them in column leads",
    "duplicate_lead": "a lead occurs twice",
    "unit": "the unit is not a voltage or is not stated; set it in column units",
    "gain": "the scale from stored numbers to millivolts is missing, zero or known to be wrong",
    "rate": "the sampling rate is missing or invalid; set it in column sampling_rate",
    "rates": "the leads have different sampling rates",
    "skew": "the leads are shifted in time against each other",
    "gaps": "the recording is interrupted",
    "truncated": "the file ends before the declared number of samples",
    "length": "the number of samples differs from the declared number",
    "checksum": "the checksum of the samples does not match",
    "unit_inferred": "the header scales each lead to 1 mV; the gains are ignored and a digital step is read as 1 uV",
    "known_defect": "this recording is listed as defective in the data set",
    "sampling_rate": "the sampling rate is too low for the passband (signal.clean.band)",
    "too_short": "the recording is shorter than the shortest accepted duration (quality.min_duration)",
    "min_leads": "too few usable leads are left (quality.min_leads)",
    "missing_leads": "a required lead is absent or unusable (signal.missing_leads)",
    "overlap": "a later split contains a recording of the same patient or with the same waveform (overlap: drop_train)",
}
"""Descriptions of the reason codes of file readers, preprocessing and overlap checks."""

REASON_TEXTS: dict[str, str] = {**READ_TEXTS, **{code: reason.text for code, reason in REASONS.items()}}
"""Descriptions of all reason codes."""

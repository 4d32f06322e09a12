"""Section ``quality``: limits past which a figure of a recording becomes a reason code, and what follows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ecgssl.params_base import NonNegative, Ratio, Section

Policy = Literal["reject", "mask", "flag"]
LeadCode = Literal["nan", "flat", "railed", "amplitude", "hf_noise", "wander", "mains", "identical", "chest_swap"]
"""Findings of one lead."""
RecordingCode = Literal["unit_suspect", "limb_law", "limb_swap", "no_beats", "heart_rate", "noisy"]
"""Findings of a whole recording."""
ReasonCode = Literal[LeadCode, RecordingCode]

_POLICY: dict[ReasonCode, Policy] = {
    "nan": "mask",
    "flat": "mask",
    "railed": "mask",
    "amplitude": "reject",
    "hf_noise": "flag",
    "wander": "flag",
    "mains": "flag",
    "identical": "flag",
    "chest_swap": "flag",
    "unit_suspect": "reject",
    "limb_law": "flag",
    "limb_swap": "flag",
    "no_beats": "flag",
    "heart_rate": "flag",
    "noisy": "flag",
}


class QualityParams(Section):
    """Limits past which a figure becomes a reason code, and what follows: reject, mask the lead, or flag.

    The limits lie beyond what 2,386 untouched recordings show, most of them of PTB-XL, some of six other sets
    (``docs/quality.md``: how often each limit is passed there, and how often planted faults are caught;
    ``benchmarks/quality.py`` measures both again).

    Args:
        nan_fraction: largest share of NaN samples in a lead; fewer are bridged by straight lines and flagged.
        flat_sd: a lead whose standard deviation in mV is not above this is flat; the quietest real lead had 0.025.
        flat_seconds: longest time for which a lead may stay within 5 uV per 0.2 s; sound real leads reach 0.6.
        railed_fraction: largest share of a lead's samples that sit at its extreme value; real leads reach 0.013, and
            just under this limit when rounded to 10 uV.
        span: plausible range of a recording's typical peak-to-peak voltage in mV, beyond which the unit is suspected;
            real recordings lie between 0.4 and 4.2.
        amplitude: largest plausible absolute value in mV after cleaning.
        hf_noise: most noise between beats above some 20 Hz, in mV, in a lead's worst second after cleaning; two real
            recordings in a hundred have more.
        wander: most that a lead's baseline moves, in mV from its lowest to its highest second; two in a hundred more.
        mains: largest amplitude in mV of 50 or 60 Hz in a lead; two in a thousand more.
        identical: two leads that differ by less than this share of their own size are one; one in two thousand.
        limb_residual: largest relative residual of the limb-lead laws; real recordings keep them to 0.01, one in two
            thousand to 0.07.
        limb_swap: how much less unusual the recording may become if two limb electrodes are taken for exchanged, as a
            share (``ecgssl.signal.lead_order``); two in a thousand pass this, hearts with an extreme axis among them.
        chest_swap: the same for two chest electrodes; six in a thousand.
        beats: what looks for R-peaks: ``neurokit2``, or ``none`` to leave out heart rate and template match.
        heart_rate: plausible range in beats per minute.
        template_match: smallest mean correlation of the beats with their mean beat.
        min_leads: recordings with fewer usable leads are rejected.
        policy: by reason code.
    """

    nan_fraction: Ratio = 0.0
    flat_sd: NonNegative = 0.005
    flat_seconds: NonNegative = 1.5
    railed_fraction: Ratio = 0.03
    span: tuple[NonNegative, NonNegative] = (0.1, 20.0)
    amplitude: Annotated[float, Field(gt=0)] = 10.0
    hf_noise: NonNegative = 0.02
    wander: NonNegative = 3.0
    mains: NonNegative = 0.03
    identical: Ratio = 0.01
    limb_residual: NonNegative = 0.1
    limb_swap: Ratio = 0.1
    chest_swap: Ratio = 0.2
    beats: Literal["neurokit2", "none"] = "neurokit2"
    heart_rate: tuple[float, float] = (20.0, 250.0)
    template_match: Annotated[float, Field(ge=-1, le=1)] = 0.5
    min_leads: Annotated[int, Field(ge=1, le=12)] = 6
    policy: dict[ReasonCode, Policy] = _POLICY

    @field_validator("policy", mode="before")
    @classmethod
    def _codes_left_out_keep_their_policy(cls, value: Any) -> Any:
        return {**_POLICY, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _policies_can_be_carried_out(self) -> QualityParams:
        wrong = [code for code in get_args(RecordingCode) if self.policy.get(code) == "mask"]
        if wrong:
            raise ValueError(f"policy 'mask' needs a finding of one lead; {wrong} concern the whole recording")
        if self.policy["nan"] == "flag":
            raise ValueError("policy 'flag' for nan is impossible: a lead with gaps cannot be cleaned; mask or reject")
        for name in ("span", "heart_rate"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name}: give the smaller number first, got {low:g} and {high:g}")
        return self

"""Parameters of section ``quality``: limits of the quality checks, and the action for each reason code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ecgssl.params_base import NonNegative, Ratio, Section
from ecgssl.signal.reasons import REASONS, Policy, ReasonCode

_POLICY: dict[ReasonCode, Policy] = {code: reason.policy for code, reason in REASONS.items()}


class QualityParams(Section):
    """Limits of the quality checks, and the action for each reason code: reject, mask the lead, or flag.

    The limits are set outside the range of 2,386 unmodified recordings: most of PTB-XL and some of six other data sets.
    ``docs/quality.md`` lists how often real recordings exceed each limit and how often simulated faults are detected. The
    command is ``benchmarks/quality.py``.

    Args:
        nan_fraction: largest share of NaN samples in a lead; fewer are interpolated and flagged.
        flat_sd: a lead with a standard deviation in mV up to this is flat; the smallest in a real lead is 0.025.
        flat_seconds: longest time in s for which a lead may stay within 5 uV per 0.2 s; up to 0.6 in intact real leads.
        railed_fraction: largest share of samples at the lead's extreme value; up to 0.013 in real leads, and just below
            this limit after rounding to 10 uV.
        span: (low, high) accepted typical peak-to-peak voltage in mV; outside it the unit is suspect. Real recordings lie
            between 0.4 and 4.2.
        amplitude: largest accepted absolute value in mV after cleaning.
        hf_noise: largest noise in mV above about 20 Hz between beats, in a lead's worst second after cleaning; exceeded in
            2 % of real recordings.
        wander: largest baseline movement of a lead in mV, from its lowest to its highest second; exceeded in 2 %.
        mains: largest amplitude in mV at 50 or 60 Hz in a lead; exceeded in 0.2 %.
        identical: two leads are identical if they differ by up to this share of their size; 0.05 % of recordings.
        limb_residual: largest relative residual of the limb-lead laws; up to 0.01 in real recordings, 0.07 in 0.05 %.
        limb_swap: largest relative gain in typicality by exchanging two limb electrodes (``ecgssl.signal.lead_order``);
            exceeded in 0.2 %, among them hearts with an extreme axis.
        chest_swap: the same for two chest electrodes; exceeded in 0.6 %.
        beats: detector of R-peaks: ``neurokit2``, or ``none`` to leave out heart rate and template match.
        heart_rate: (low, high) accepted heart rate in beats per minute.
        template_match: smallest accepted mean correlation of the beats with their mean beat.
        min_leads: recordings with fewer usable leads are rejected.
        policy: action by reason code (``ecgssl.signal.reasons.REASONS``): ``reject`` | ``mask`` | ``flag``.
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
    def _add_default_policies(cls, value: Any) -> Any:
        return {**_POLICY, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _policies_are_possible(self) -> QualityParams:
        wrong = [
            code for code, reason in REASONS.items() if reason.scope == "recording" and self.policy[code] == "mask"
        ]
        if wrong:
            raise ValueError(f"policy 'mask' applies to leads only; {wrong} concern the whole recording")
        if self.policy["nan"] == "flag":
            raise ValueError(
                "policy 'flag' for nan is impossible, because a lead with gaps cannot be cleaned; use 'mask' or 'reject'"
            )
        for name in ("span", "heart_rate"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name}: set the smaller number first, got {low:g} and {high:g}")
        return self

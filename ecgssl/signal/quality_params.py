"""Parameters of section ``quality``: limits of the quality checks, and the action for each reason code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ecgssl.params_base import Ratio, Section
from ecgssl.signal.reasons import REASONS, Policy, ReasonCode

_Limit = Annotated[float, Field(ge=0, le=1e4)]
_POLICY: dict[ReasonCode, Policy] = {code: reason.policy for code, reason in REASONS.items()}


class QualityParams(Section):
    """Limits of the quality checks, and the action for each reason code.

    The limits were chosen with ``benchmarks/quality.py`` on 2,386 unmodified recordings, most of them from PTB-XL and
    the others from six other data sets. ``docs/quality.md`` lists how often real recordings exceed each limit and how
    often simulated faults are detected.

    Args:
        nan_fraction: largest accepted proportion of missing samples in a lead; they are interpolated, and the lead is
            flagged.
        flat_sd: largest standard deviation in mV of a flat lead; the smallest value in real leads is 0.025.
        flat_seconds: longest accepted flat section of a lead in s (a range of at most 5 uV per 0.2 s); up to 0.6 in
            real leads.
        railed_fraction: largest accepted proportion of saturated samples in a lead; up to 0.013 in real leads, and
            slightly below the default limit in leads that are rounded to 10 uV.
        span: (low, high) accepted range of the median peak-to-peak voltage in mV. Values outside this range suggest a
            wrong unit. Real recordings have 0.4 to 4.2.
        amplitude: largest accepted absolute voltage in mV after cleaning.
        hf_noise: largest accepted noise above about 20 Hz between beats, in mV, in the noisiest second of a lead after
            cleaning; exceeded in 2 % of real recordings.
        wander: largest accepted baseline wander of a lead in mV, the difference between the highest and lowest mean of
            a second; exceeded in 2 % of real recordings.
        mains: largest accepted amplitude in mV at 50 or 60 Hz in a lead; exceeded in 0.2 % of real recordings.
        identical: largest relative difference of two leads that are considered identical; found in 0.05 % of real
            recordings.
        limb_residual: largest accepted relative residual of the limb-lead laws; up to 0.01 in real recordings, and up
            to 0.07 in 0.05 % of them.
        limb_swap: largest accepted evidence for exchanged limb electrodes (``ecgssl.signal.lead_order``); exceeded in
            0.2 % of real recordings, some of which have an extreme heart axis.
        chest_swap: largest accepted evidence for exchanged chest electrodes; exceeded in 0.6 % of real recordings.
        beats: detector of R-peaks: ``neurokit2`` for the default detector of neurokit2 (``ecgssl.signal.r_peaks``), or ``none``
            to skip the checks of heart rate and template match.
        heart_rate: (low, high) accepted range of the heart rate in beats per minute.
        template_match: smallest accepted mean correlation of each beat with the average of the other beats.
        min_leads: smallest number of usable leads; recordings with fewer leads are rejected.
        min_duration: shortest accepted recording in s. In a recording shorter than ``signal.duration``, the samples after
            its end are marked as not recorded. Set it to ``signal.duration`` to accept complete recordings only.
        policy: action by reason code (``ecgssl.signal.reasons.REASONS``): ``reject`` the recording, ``mask`` the lead,
            or ``flag`` the recording.
    """

    nan_fraction: Ratio = 0.0
    flat_sd: _Limit = 0.005
    flat_seconds: _Limit = 1.5
    railed_fraction: Ratio = 0.03
    span: tuple[_Limit, _Limit] = (0.1, 20.0)
    amplitude: Annotated[float, Field(gt=0, le=1e4)] = 10.0
    hf_noise: _Limit = 0.02
    wander: _Limit = 3.0
    mains: _Limit = 0.03
    identical: Ratio = 0.01
    limb_residual: _Limit = 0.1
    limb_swap: Ratio = 0.1
    chest_swap: Ratio = 0.2
    beats: Literal["neurokit2", "none"] = "neurokit2"
    heart_rate: tuple[_Limit, _Limit] = (20.0, 250.0)
    template_match: Annotated[float, Field(ge=-1, le=1)] = 0.5
    min_leads: Annotated[int, Field(ge=1, le=12)] = 6
    min_duration: Annotated[float, Field(ge=1, le=60)] = 5.0
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

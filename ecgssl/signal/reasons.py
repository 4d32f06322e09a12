"""Reason codes in words: what each measures, in which unit, and against which limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ecgssl.signal.quality import Finding
from ecgssl.signal.quality_params import QualityParams, ReasonCode


@dataclass(frozen=True)
class Reason:
    """A reason code in words.

    Args:
        what: the figure that is past its limit.
        unit: of the figure; empty for a share or a number.
        limit: field of ``QualityParams`` that holds the limit; ``None`` where there is nothing to choose.
        allowed: which side of the limit is sound.
    """

    what: str
    unit: str = ""
    limit: str | None = None
    allowed: Literal["up to", "from", "between"] = "up to"


REASONS: dict[ReasonCode, Reason] = {
    "nan": Reason("share of samples without a value", "", "nan_fraction"),
    "flat": Reason("time without any movement", "s", "flat_seconds"),
    "railed": Reason("share of samples held at the extreme", "", "railed_fraction"),
    "amplitude": Reason("largest voltage after cleaning", "mV", "amplitude"),
    "hf_noise": Reason("noise between beats in the worst second", "mV", "hf_noise"),
    "wander": Reason("movement of the baseline", "mV", "wander"),
    "mains": Reason("hum of 50 or 60 Hz", "mV", "mains"),
    "identical": Reason("difference from the lead most like it", "", "identical", "from"),
    "chest_swap": Reason("share by which the leads agree better with the two exchanged", "", "chest_swap"),
    "unit_suspect": Reason("typical peak-to-peak voltage", "mV", "span", "between"),
    "limb_law": Reason("departure from the limb-lead laws", "", "limb_residual"),
    "limb_swap": Reason("share by which the leads agree better with limb electrodes exchanged", "", "limb_swap"),
    "no_beats": Reason("beats found, too few to tell a rate"),
    "heart_rate": Reason("heart rate", "/min", "heart_rate", "between"),
    "noisy": Reason("likeness of the beats", "", "template_match", "from"),
}


def limit_of(code: ReasonCode, params: QualityParams) -> str:
    """What a code's figure may be: ``up to 0.02 mV``; empty where there is no limit."""
    reason = REASONS[code]
    if reason.limit is None:
        return ""
    limit = getattr(params, reason.limit)
    numbers = " and ".join(f"{number:g}" for number in limit) if isinstance(limit, tuple) else f"{limit:g}"
    return f"{reason.allowed} {numbers} {reason.unit}".strip()


def in_words(findings: Sequence[Finding], params: QualityParams, most: int = 12) -> str:
    """Findings for people: ``hf_noise 0.031 mV in V2, 0.024 mV in V3 (allowed: up to 0.02 mV)``.

    Args:
        findings: in the order in which they are told, those of a code together.
        params: limits.
        most: findings that are told.
    """
    told: dict[ReasonCode, list[str]] = {}
    for finding in findings[:most]:
        value = f"{finding.value:.3g} {REASONS[finding.code].unit}".strip()
        told.setdefault(finding.code, []).append(value + (f" in {finding.lead}" if finding.lead else ""))
    parts = []
    for code, values in told.items():
        limit = limit_of(code, params)
        parts.append(f"{code} {', '.join(values)}" + (f" (allowed: {limit})" if limit else ""))
    return "; ".join(parts)


def to_cell(findings: Sequence[Finding]) -> str:
    """Findings as a table's cell: ``hf_noise:V2:0.031;limb_law::0.4``."""
    return ";".join(f"{finding.code}:{finding.lead or ''}:{finding.value:.4g}" for finding in findings)


def from_cell(cell: str) -> list[Finding]:
    """The findings of ``to_cell``."""
    parts = (part.split(":") for part in cell.split(";") if part)
    return [Finding(cast(ReasonCode, code), lead or None, float(value)) for code, lead, value in parts]

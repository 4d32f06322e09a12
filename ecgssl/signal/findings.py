"""Findings of the quality checks, and their conversion to text and table cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.reasons import REASONS, ReasonCode


@dataclass(frozen=True)
class Finding:
    """Finding of a quality check: a measured value (quality figure) outside its limit.

    Findings with code ``nan`` also report gaps within the limit, which are interpolated.

    Args:
        code: reason code, a key of ``QualityParams.policy``.
        lead: affected lead; ``None`` for the whole recording.
        value: measured value, in the unit of ``REASONS[code]``.
    """

    code: ReasonCode
    lead: str | None
    value: float


def limit_text(code: ReasonCode, params: QualityParams) -> str:
    """Return the accepted range for a reason code as text, such as ``up to 0.02 mV``; empty if there is no limit."""
    reason = REASONS[code]
    if reason.limit is None:
        return ""
    limit = getattr(params, reason.limit)
    numbers = " and ".join(f"{number:g}" for number in limit) if isinstance(limit, tuple) else f"{limit:g}"
    return f"{reason.allowed} {numbers} {reason.unit}".strip()


def findings_text(findings: Sequence[Finding], params: QualityParams, most: int = 12) -> str:
    """Return findings as text, such as ``hf_noise 0.031 mV in V2 (allowed: up to 0.02 mV, quality.hf_noise)``.

    Args:
        findings: findings to list; those with the same reason code are grouped.
        params: quality limits.
        most: largest number of findings in the text; others are omitted.
    """
    by_code: dict[ReasonCode, list[str]] = {}
    for finding in findings[:most]:
        value = f"{finding.value:.3g} {REASONS[finding.code].unit}".strip()
        by_code.setdefault(finding.code, []).append(value + (f" in {finding.lead}" if finding.lead else ""))
    parts = []
    for code, values in by_code.items():
        limit = limit_text(code, params)
        # without a unit, state the quantity, so that a share of samples is not read as their number
        quantity = f"{REASONS[code].figure}; " if limit and not REASONS[code].unit else ""
        allowed = f" ({quantity}allowed: {limit}, quality.{REASONS[code].limit})" if limit else ""
        parts.append(f"{code} {', '.join(values)}{allowed}")
    return "; ".join(parts)


def findings_to_cell(findings: Sequence[Finding]) -> str:
    """Return findings as the text of a table cell, such as ``hf_noise:V2:0.031;limb_law::0.4``."""
    return ";".join(f"{finding.code}:{finding.lead or ''}:{finding.value:.4g}" for finding in findings)


def findings_from_cell(cell: str) -> list[Finding]:
    """Parse a table cell written by ``findings_to_cell``."""
    parts = (part.split(":") for part in cell.split(";") if part)
    return [Finding(cast(ReasonCode, code), lead or None, float(value)) for code, lead, value in parts]


def distinct_findings(cells: Iterable[str]) -> tuple[Finding, ...]:
    """Parse the cells of all windows of a recording and return each distinct finding once, in order of occurrence."""
    return tuple(dict.fromkeys(finding for cell in cells for finding in findings_from_cell(cell)))

"""Numbers, tables and gaps of a report as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

UNDEFINED = "<span class='soft'>undefined</span>"
WHOSE = {"random": "random encoder"}
"""How models are called on the page, where not by their own name."""


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A number with a true minus sign, or that it is undefined."""
    return UNDEFINED if value is None else f"{value:{sign}.{digits}f}".replace("-", "−")


def estimate(found: Mapping[str, Any] | None, digits: int = 3, sign: str = "", brief: bool = False) -> str:
    """``value (low to high)`` of ``{"value", "low", "high"}``; undefined ones say so."""
    if not found:
        return UNDEFINED
    value = found.get("value", found.get("difference"))
    if value is None:
        return UNDEFINED
    low, high = found.get("low"), found.get("high")
    if low is None or high is None:
        return number(value, digits, sign)
    bounds = ("–" if brief else " to ").join(number(bound, digits, sign) for bound in (low, high))
    return f"{number(value, digits, sign)} <span class='ci'>({bounds})</span>"


def plain_estimate(found: Mapping[str, Any], digits: int = 3) -> str:
    """``estimate`` without markup, for charts."""
    return f"{found['value']:.{digits}f}" if found.get("value") is not None else "undefined"


def share(part: int, whole: int) -> str:
    """``n (p %)``."""
    return f"{part:,} <span class='ci'>({100 * part / whole:.1f} %)</span>" if whole else f"{part:,}"


def probability(value: float | None) -> str:
    """A p value."""
    return "" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1, caption: str = "") -> str:
    """A table that scrolls by itself on a narrow screen.

    Args:
        heads: of the columns, HTML.
        rows: cells, HTML.
        text: columns from the left that hold text; the others are set as numbers.
        caption: above it.
    """
    kind = ["" if i < text else " class='n'" for i in range(len(heads))]
    top = "".join(f"<th{k}>{head}</th>" for k, head in zip(kind, heads, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{k}>{cell}</td>' for k, cell in zip(kind, row, strict=True))}</tr>" for row in rows
    )
    said = f"<caption>{caption}</caption>" if caption else ""
    return f"<div class='scroll' tabindex='0'><table>{said}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def absent(what: str) -> str:
    """A part that this run lacks, visibly."""
    return f"<p class='absent'>Not in this report: {what}</p>"


def gap(question: str) -> str:
    """Something that only people can say."""
    return f"<span class='gap'>to be filled by you: {escape(question)}</span>"


def model_name(model: str) -> str:
    """How a model is called on the page."""
    return WHOSE.get(model, model)

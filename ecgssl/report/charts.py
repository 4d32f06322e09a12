"""Charts of the report as inline SVG: told apart without colour, readable on a phone and in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

_SIZE = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 10, 40
_TICKS = 5


class Panel:
    """One chart with linear axes; what is drawn later lies on top.

    Args:
        x, y: (low, high) of the axes.
        names: of the axes.
        title: told to those who cannot see the chart.
        width, height: in units of the page.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        names: tuple[str, str],
        title: str,
        *,
        width: int = _SIZE,
        height: int = _SIZE,
    ) -> None:
        self.x, self.y, self.title = x, y, title
        self.width, self.height = width, height
        self.parts: list[str] = []
        for value in ticks(*y):
            at = self._down(value)
            self.parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            self.parts.append(f'<text class="num" x="{_LEFT - 5}" y="{at + 4:.1f}">{value:g}</text>')
        for value in ticks(*x):
            at = self._across(value)
            self.parts.append(f'<text class="bin" x="{at:.1f}" y="{height - _BOTTOM + 15}">{value:g}</text>')
        middle, half = _LEFT + (width - _LEFT - _RIGHT) / 2, _TOP + (height - _TOP - _BOTTOM) / 2
        self.parts.append(f'<text class="bin axis" x="{middle:.0f}" y="{height - 6}">{escape(names[0])}</text>')
        self.parts.append(
            f'<text class="bin axis" transform="translate(11 {half:.0f}) rotate(-90)">{escape(names[1])}</text>'
        )

    def line(self, x: Sequence[float], y: Sequence[float], kind: str, steps: bool = False) -> None:
        """A line through points; ``kind`` is its class; ``steps`` goes level first, then up or down."""
        if not len(x):
            return
        at = [(self._across(a), self._down(b)) for a, b in zip(x, y, strict=True)]
        path = f"M{at[0][0]:.1f} {at[0][1]:.1f}"
        for across, down in at[1:]:
            path += f"V{down:.1f}H{across:.1f}" if steps else f"L{across:.1f} {down:.1f}"
        self.parts.append(f'<path class="line {kind}" d="{path}"/>')

    def dot(self, x: float, y: float, kind: str, told: str = "") -> None:
        """A point."""
        title = f"<title>{escape(told)}</title>" if told else ""
        self.parts.append(
            f'<circle class="dot {kind}" cx="{self._across(x):.1f}" cy="{self._down(y):.1f}" r="3">{title}</circle>'
        )

    def upright(self, x: float, low: float, high: float, kind: str) -> None:
        """An interval of y at x."""
        at = self._across(x)
        self.parts.append(
            f'<line class="whisker {kind}" x1="{at:.1f}" x2="{at:.1f}" y1="{self._down(low):.1f}" y2="{self._down(high):.1f}"/>'
        )

    def svg(self) -> str:
        """The chart."""
        return (
            f'<svg class="chart panel" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}">{"".join(self.parts)}</svg>'
        )

    def _across(self, value: float) -> float:
        low, high = self.x
        share = (min(max(value, low), high) - low) / (high - low)
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def _down(self, value: float) -> float:
        low, high = self.y
        share = (min(max(value, low), high) - low) / (high - low)
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


Mark = tuple[str, float | None, float | None, float | None]
"""Class of a model, and its value with the bounds of its interval."""


def mark(kind: str, found: Mapping[str, Any]) -> Mark:
    """A mark of ``{"value", "low", "high"}``."""
    return kind, found["value"], found["low"], found["high"]


def forest(rows: Sequence[tuple[str, str, Sequence[Mark]]], axis: str) -> str:
    """Numbers with intervals, one row each, for example AUROC by finding.

    Args:
        rows: name, what is told beside it, and ``(class, value, low, high)`` of each model; undefined ones are left out.
        axis: what the numbers are.
    """
    numbers = [n for _, _, marks in rows for mark in marks for n in mark[1:] if n is not None]
    if not numbers:
        return ""
    low, high = min(*numbers, 0.5), max(*numbers, 1.0)
    low = floor(10 * low) / 10
    width, left, right, row = 680, 150, 140, 30
    height = row * len(rows) + 46
    span = width - left - right

    def across(value: float) -> float:
        return left + span * (value - low) / (high - low)

    parts = []
    for tick in ticks(low, high):
        at = across(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="6" y2="{height - 38}"/>')
        parts.append(f'<text class="bin" x="{at:.1f}" y="{height - 23}">{tick:g}</text>')
    if low <= 0.5:
        parts.append(
            f'<line class="line chance" x1="{across(0.5):.1f}" x2="{across(0.5):.1f}" y1="6" y2="{height - 38}"/>'
        )
    for number, (name, beside, marks) in enumerate(rows):
        middle = 6 + row * (number + 0.5)
        parts.append(f'<text class="name" x="{left - 12}" y="{middle + 4:.1f}">{escape(name)}</text>')
        parts.append(f'<text x="{width - right + 10}" y="{middle + 4:.1f}">{escape(beside)}</text>')
        for place, (kind, value, bottom, top) in enumerate(marks):
            if value is None:
                continue
            y = middle + 5 * (place - (len(marks) - 1) / 2) * 1.6
            if bottom is not None and top is not None:
                parts.append(
                    f'<line class="whisker {kind}" x1="{across(bottom):.1f}" x2="{across(top):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                )
            parts.append(f'<circle class="dot {kind}" cx="{across(value):.1f}" cy="{y:.1f}" r="3.5"/>')
    parts.append(f'<text class="bin axis" x="{left + span / 2:.0f}" y="{height - 5}">{escape(axis)}</text>')
    told = ", ".join(f"{name} {marks[0][1]:.3f}" for name, _, marks in rows if marks and marks[0][1] is not None)
    label = escape(f"{axis}: {told}")
    head = f'<svg class="chart forest" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    return f"{head}{''.join(parts)}</svg>"


def ticks(low: float, high: float, most: int = _TICKS) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` + 1 of them."""
    if high <= low:
        return [low]
    power = 10 ** floor(log10((high - low) / most))
    step = next(f * power for f in (1, 2, 2.5, 5, 10, 20) if (high - low) / (f * power) <= most + 1e-9)
    first = ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, floor(high / step + 1e-9) + 1)]

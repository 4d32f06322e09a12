"""Charts as inline SVG, readable on a phone, in print and without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

Limits = tuple[float, float]
Mark = tuple[str, float | None, float | None, float | None]
"""Class, value, and lower and upper bound of the interval of one model in ``forest``."""

_BARS = ("s0", "s1", "s2")


class Chart:
    """A chart with linear axes. Elements added later cover earlier ones.

    The classes of lines and dots are those of ``style.css``: ``main``, ``base``, ``other``, ``chance``.

    Args:
        x, y: lower and upper limit of each axis; values outside are drawn at the limit.
        size: width and height in SVG units.
        margins: top, right, bottom and left of the plot area, in SVG units.
    """

    def __init__(
        self,
        x: Limits,
        y: Limits,
        size: tuple[int, int] = (250, 250),
        margins: tuple[int, int, int, int] = (10, 10, 40, 50),
    ) -> None:
        self.x, self.y, self.size = x, y, size
        self.top, self.left = margins[0], margins[3]
        self.right, self.bottom = size[0] - margins[1], size[1] - margins[2]
        self._elements: list[Markup] = []

    def across(self, value: float) -> float:
        """Return the horizontal position of a value of the x axis."""
        return self.left + _share(value, self.x) * (self.right - self.left)

    def down(self, value: float) -> float:
        """Return the vertical position of a value of the y axis."""
        return self.bottom - _share(value, self.y) * (self.bottom - self.top)

    def add(self, tag: str, content: str = "", *, title: str = "", **attributes: object) -> None:
        """Add an SVG element.

        Args:
            tag: such as ``line``.
            content: text of the element.
            title: text that is shown on hovering, instead of ``content``.
            **attributes: ``class_`` is written as ``class``; floats are rounded to 0.1.
        """
        inner = Markup("<title>{}</title>").format(title) if title else content
        pairs = [
            Markup(' {}="{}"').format(name.rstrip("_"), f"{value:.1f}" if isinstance(value, float) else value)
            for name, value in attributes.items()
        ]
        self._elements.append(Markup("<{0}{1}>{2}</{0}>").format(tag, Markup("").join(pairs), inner))

    def axes(self, x: Mapping[float, str], y: Mapping[float, str], names: tuple[str, str]) -> None:
        """Add horizontal grid lines, tick labels and axis titles.

        Args:
            x, y: tick label by value.
            names: titles of the x and y axis; an empty string for no title.
        """
        for value, label in y.items():
            self.segment((self.x[0], value), (self.x[1], value), "grid")
            self.add("text", label, class_="num", x=self.left - 5, y=self.down(value) + 4)
        for value, label in x.items():
            self.add("text", label, class_="bin", x=self.across(value), y=self.bottom + 15)
        middle, half = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        self.add("text", names[0], class_="bin axis", x=middle, y=self.size[1] - 6)
        if names[1]:
            self.add("text", names[1], class_="bin axis", transform=f"translate(11 {half:.0f}) rotate(-90)")

    def segment(self, start: Limits, end: Limits, kind: str) -> None:
        """Add a straight line between two points (x, y), such as an interval (``whisker main``)."""
        (x1, y1), (x2, y2) = ((self.across(x), self.down(y)) for x, y in (start, end))
        self.add("line", class_=kind, x1=x1, x2=x2, y1=y1, y2=y2)

    def line(self, x: Sequence[float], y: Sequence[float], kind: str, *, steps: bool = False) -> None:
        """Add a line through points; with ``steps`` it goes up or down first, then level."""
        points = [(self.across(a), self.down(b)) for a, b in zip(x, y, strict=True)]
        path = "".join(
            f"V{b:.1f}H{a:.1f}" if steps and i else f"{'L' if i else 'M'}{a:.1f} {b:.1f}"
            for i, (a, b) in enumerate(points)
        )
        if path:
            self.add("path", class_=f"line {kind}", d=path)

    def dot(self, x: float, y: float, kind: str, title: str = "") -> None:
        """Add a point, with a text shown on hovering."""
        self.add("circle", title=title, class_=f"dot {kind}", cx=self.across(x), cy=self.down(y), r=3)

    def svg(self, label: str, kind: str = "") -> Markup:
        """Return the chart.

        Args:
            label: text for screen readers.
            kind: class that limits the width, ``panel`` or ``forest``.
        """
        head = Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        return head.format(kind, *self.size, label) + Markup("").join(self._elements) + Markup("</svg>")


def panel(x: Limits, y: Limits, names: tuple[str, str], size: tuple[int, int] = (250, 250)) -> Chart:
    """Return an empty chart with round numbers on both axes.

    Args:
        x, y: limits of the axes.
        names: of the axes.
        size: width and height in SVG units.
    """
    chart = Chart(x, y, size)
    x_labels, y_labels = ({value: f"{value:g}" for value in ticks(*limits)} for limits in (x, y))
    chart.axes(x_labels, y_labels, names)
    return chart


def histogram(
    bins: Sequence[str],
    series: Mapping[str, Sequence[float]],
    axis: str,
    *,
    every: int = 1,
    edges: Sequence[str] | None = None,
    grouped: bool = False,
    unit: str = "",
    kinds: Sequence[str] = _BARS,
) -> Markup:
    """Return a bar chart of counts or percentages by bin.

    Args:
        bins: name of each bin.
        series: a value per bin by name of the series.
        axis: name of the x axis.
        every: label every n-th bin or edge.
        edges: labels of the borders between bins; without them the names of the bins are the labels.
        grouped: draw the bars of the series next to each other instead of on top of each other.
        unit: written after each value, such as ``" %"``.
        kinds: class of each series.
    """
    columns = list(zip(*series.values(), strict=True))
    heights = [max(column) if grouped else sum(column) for column in columns]
    top, step = _scale(max(heights, default=0))
    chart = Chart((0, max(len(bins), 1)), (0, top), (420, 190), (12, 8, 38, 36 + 7 * len(unit)))
    labels = (
        {i + 0.5: name for i, name in enumerate(bins)} if edges is None else {i + 1.0: e for i, e in enumerate(edges)}
    )
    shown = dict(list(labels.items())[::every])
    chart.axes(shown, {value: f"{value:,}{unit}" for value in range(0, top + 1, step)}, (axis, ""))
    base = [0.0] * len(bins)
    width = 0.84 / len(series) if grouped else 0.84
    for number, ((name, values), kind) in enumerate(zip(series.items(), kinds, strict=False)):
        for place, value in enumerate(values):
            if not value:
                continue
            left, right = (chart.across(place + 0.08 + width * (number * grouped + side)) for side in (0, 1))
            high, low = chart.down(base[place] + value), chart.down(base[place])
            title = f"{bins[place]}: {_amount(value)}{unit}" + (f" {name}" if len(series) > 1 else "")
            chart.add("rect", title=title, class_=kind, x=left, y=high, width=right - left, height=low - high)
            base[place] += 0 if grouped else value
    spoken = ", ".join(
        f"{name}: {' and '.join(_amount(v) + unit for v in (column if grouped else [sum(column)]))}"
        for name, column in zip(bins, columns, strict=True)
        if any(column)
    )
    return chart.svg(f"{axis}. {spoken}")


def forest(rows: Sequence[tuple[str, str, Sequence[Mark]]], axis: str) -> Markup:
    """Return a forest plot: estimates with intervals, one row each, for example AUROC by finding.

    Args:
        rows: name, text to the right of the plot, and a mark per model; undefined ones are left out.
        axis: name of the x axis.

    Returns:
        An empty string if no estimate is defined.
    """
    numbers = [n for _, _, marks in rows for mark in marks for n in mark[1:] if n is not None]
    if not numbers:
        return Markup("")
    low, high = floor(10 * min(*numbers, 0.5)) / 10, max(*numbers, 1.0)
    chart = Chart((low, high), (len(rows), 0), (680, 30 * len(rows) + 46), (6, 140, 40, 150))
    for tick in ticks(low, high):
        chart.segment((tick, 0), (tick, len(rows)), "grid")
    chart.axes({tick: f"{tick:g}" for tick in ticks(low, high)}, {}, (axis, ""))
    if low <= 0.5:
        chart.segment((0.5, 0), (0.5, len(rows)), "line chance")
    for row, (name, text, marks) in enumerate(rows):
        middle = chart.down(row + 0.5) + 4
        chart.add("text", name, class_="name", x=chart.left - 12, y=middle)
        chart.add("text", text, x=chart.right + 10, y=middle)
        for place, (kind, value, lower, upper) in enumerate(marks):
            y = row + 0.5 + 0.27 * (place - (len(marks) - 1) / 2)
            if value is None:
                continue
            if lower is not None and upper is not None:
                chart.segment((lower, y), (upper, y), f"whisker {kind}")
            chart.dot(value, y, kind)
    spoken = ", ".join(f"{name} {marks[0][1]:.3f}" for name, _, marks in rows if marks and marks[0][1] is not None)
    return chart.svg(f"{axis}: {spoken}", "forest")


def mark(kind: str, found: Mapping[str, Any]) -> Mark:
    """Return the mark of an estimate, ``{"value", "low", "high"}``, for ``forest``."""
    return kind, found["value"], found["low"], found["high"]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high``, at most ``most`` + 1 of them."""
    if high <= low:
        return [low]
    power = 10 ** floor(log10((high - low) / most))
    step = next(f * power for f in (1, 2, 2.5, 5, 10, 20) if (high - low) / (f * power) <= most + 1e-9)
    first = ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, floor(high / step + 1e-9) + 1)]


def _share(value: float, limits: Limits) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _amount(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _scale(largest: float) -> tuple[int, int]:
    """Return the upper limit of an axis from 0 and the distance of its two to five grid lines."""
    step = next(f * 10**power for power in range(20) for f in (1, 2, 5) if largest <= 4 * f * 10**power)
    return max(ceil(largest / step), 1) * step, step

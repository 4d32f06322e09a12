"""SVG charts for HTML pages: line charts, histograms and forest plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

Limits = tuple[float, float]
Mark = tuple[str, float | None, float | None, float | None]
"""Estimate in a forest plot: CSS class, value, and lower and upper bound of its interval; ``None`` if undefined."""

_BARS = ("s0", "s1", "s2")


class Chart:
    """SVG chart with linear axes. Later elements are drawn over earlier ones.

    The CSS classes of lines and dots are defined in ``style.css``: ``main``, ``base``, ``other``, ``chance``.

    Args:
        x, y: lower and upper limit of each axis. Values outside the limits are drawn at the limit.
        size: width and height in SVG units.
        margins: top, right, bottom and left margin of the plot area, in SVG units.
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
        """Return the horizontal position of a value on the x axis, in SVG units."""
        return self.left + _share(value, self.x) * (self.right - self.left)

    def down(self, value: float) -> float:
        """Return the vertical position of a value on the y axis, in SVG units."""
        return self.bottom - _share(value, self.y) * (self.bottom - self.top)

    def add(self, tag: str, content: str = "", *, title: str = "", **attributes: object) -> None:
        """Add an SVG element to the chart.

        Args:
            tag: name of the element, for example ``line``.
            content: text of the element.
            title: tooltip of the element; it replaces ``content``.
            **attributes: attributes of the element. ``class_`` is written as ``class``, and floats are rounded to 0.1.
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
            x, y: tick labels by axis value.
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
        """Add a straight line with CSS class ``kind`` between two points (x, y)."""
        (x1, y1), (x2, y2) = ((self.across(x), self.down(y)) for x, y in (start, end))
        self.add("line", class_=kind, x1=x1, x2=x2, y1=y1, y2=y2)

    def line(self, x: Sequence[float], y: Sequence[float], kind: str, *, steps: bool = False) -> None:
        """Add a line through points. With ``steps``, each segment is first vertical, then horizontal."""
        points = [(self.across(a), self.down(b)) for a, b in zip(x, y, strict=True)]
        path = "".join(
            f"V{b:.1f}H{a:.1f}" if steps and i else f"{'L' if i else 'M'}{a:.1f} {b:.1f}"
            for i, (a, b) in enumerate(points)
        )
        if path:
            self.add("path", class_=f"line {kind}", d=path)

    def dot(self, x: float, y: float, kind: str, title: str = "") -> None:
        """Add a dot at (x, y) with CSS class ``kind`` and an optional tooltip."""
        self.add("circle", title=title, class_=f"dot {kind}", cx=self.across(x), cy=self.down(y), r=3)

    def svg(self, label: str, kind: str = "") -> Markup:
        """Return the chart as an SVG element.

        Args:
            label: description of the chart for screen readers.
            kind: additional CSS class with another maximum width, ``panel`` or ``forest``; by default none.
        """
        head = Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        return head.format(kind, *self.size, label) + Markup("").join(self._elements) + Markup("</svg>")


def panel(x: Limits, y: Limits, names: tuple[str, str], size: tuple[int, int] = (250, 250)) -> Chart:
    """Return an empty chart with axes and round tick labels.

    Args:
        x, y: limits of the axes.
        names: titles of the x and y axis.
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
    """Return a bar chart of counts or percentages per bin, with stacked or grouped bars.

    Args:
        bins: name of each bin.
        series: values per bin, by name of the series.
        axis: name of the x axis.
        every: interval between labels; 1 labels every bin or edge.
        edges: labels of the boundaries between bins; by default the bins are labelled with their names.
        grouped: whether the bars of the series are drawn next to each other instead of stacked.
        unit: unit written after each value, for example ``" %"``.
        kinds: CSS class of each series; a series without a class is not drawn.
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


def density(edges: Sequence[float], series: Sequence[tuple[str, Sequence[float]]], axis: str) -> Markup:
    """Return a histogram of two distributions over the same bins: the first as filled bars, the second as an outline.

    The width of a bar is that of its bin, and its area is the share of the values in the bin.

    Args:
        edges: boundaries of the bins, ascending; one more than bins.
        series: name and counts per bin of the two distributions.
        axis: name of the x axis.
    """
    widths = [b - a for a, b in pairwise(edges)]
    shares = [[100 * n / max(sum(counts), 1) for n in counts] for _, counts in series]
    heights = [[share / width for share, width in zip(row, widths, strict=True)] for row in shares]
    top = 1.05 * max(map(max, heights)) or 1.0
    chart = Chart((edges[0], edges[-1]), (0, top), (420, 190), (12, 8, 38, 52))
    x, y = ({t: f"{t:g}" for t in ticks(low, high)} for low, high in ((edges[0], edges[-1]), (0, top)))
    chart.axes(x, y, (axis, "% per unit"))
    for (name, _), row, values, kind in zip(series, shares, heights, ("s2", "outline"), strict=True):
        for (a, b), share, value in zip(pairwise(edges), row, values, strict=True):
            left, right, high = chart.across(a), chart.across(b), chart.down(value)
            title = f"{a:.3g} to {b:.3g}: {share:.1f} % {name}"
            chart.add("rect", title=title, class_=kind, x=left, y=high, width=right - left, height=chart.bottom - high)
    bounds = ", ".join(f"{edge:.3g}" for edge in edges)
    spoken = "; ".join(
        f"{name} {', '.join(f'{share:.0f} %' for share in row)}" for (name, _), row in zip(series, shares, strict=True)
    )
    return chart.svg(f"{axis}. Bin boundaries {bounds}. {spoken}")


def forest(rows: Sequence[tuple[str, str, Sequence[Mark]]], axis: str) -> Markup:
    """Return a forest plot of estimates with intervals, for example the AUROC of each finding.

    Args:
        rows: for each row its name, a text to the right of the plot, and one mark per model. Undefined estimates are
            not drawn.
        axis: name of the x axis.

    Returns:
        The plot as SVG; an empty string if no estimate is defined.
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
    """Return a mark for ``forest`` with CSS class ``kind``; ``found`` has the keys ``value``, ``low`` and ``high``."""
    return kind, found["value"], found["low"], found["high"]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most ``most`` + 1 equally spaced round numbers in [``low``, ``high``]; ``low`` if ``high`` is not larger."""
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
    """Return the upper limit of an axis from 0 to at least ``largest``, and the distance between its grid lines."""
    step = next(f * 10**power for power in range(20) for f in (1, 2, 5) if largest <= 4 * f * 10**power)
    return max(ceil(largest / step), 1) * step, step

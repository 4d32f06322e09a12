"""Small charts as inline SVG: readable on a phone, in print and without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 12, 38
_STEPS = (1, 2, 5)


def histogram(bins: Sequence[str], counts: Mapping[str, Sequence[int]], axis: str, every: int = 1) -> str:
    """Bars of counts, stacked by series.

    Args:
        bins: a label per bar.
        counts: by name of the series, a count per bar; series are told apart by order (classes ``s0``, ``s1``, ...).
        axis: what the labels are.
        every: of the labels one in this many is written.
    """
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    top, step = _scale(max(totals, default=0))
    inner, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    wide = inner / max(len(bins), 1)
    parts = []
    for value in range(0, top + 1, step):
        y = _TOP + tall * (1 - value / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="num" x="{_LEFT - 5}" y="{y + 4:.1f}">{value:,}</text>')
    base = [0] * len(bins)
    for number, (name, series) in enumerate(counts.items()):
        for place, count in enumerate(series):
            if count:
                high = tall * count / top
                y = _TOP + tall * (1 - base[place] / top) - high
                x = _LEFT + wide * place + 0.08 * wide
                title = f"{escape(bins[place])}: {count:,}" + (f" {escape(name)}" if len(counts) > 1 else "")
                parts.append(
                    f'<rect class="s{number}" x="{x:.1f}" y="{y:.1f}" width="{0.84 * wide:.1f}" height="{high:.1f}">'
                    f"<title>{title}</title></rect>"
                )
                base[place] += count
    for place in range(0, len(bins), every):
        x = _LEFT + wide * (place + 0.5)
        parts.append(f'<text class="bin" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}">{escape(bins[place])}</text>')
    middle = _LEFT + inner / 2
    parts.append(f'<text class="bin axis" x="{middle:.0f}" y="{_HEIGHT - 5}">{escape(axis)}</text>')
    told = ", ".join(f"{label}: {total:,}" for label, total in zip(bins, totals, strict=True) if total)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{axis}. {told}")}">'
        f"{''.join(parts)}</svg>"
    )


def legend(names: Sequence[str]) -> str:
    """Names of the series of a chart, with their colours; empty for one."""
    if len(names) < 2:
        return ""
    entries = "".join(f'<span><i class="s{number}"></i>{escape(name)}</span>' for number, name in enumerate(names))
    return f'<p class="legend">{entries}</p>'


def bar(share: float) -> str:
    """A bar of 0 to 1, for a cell of a table."""
    return f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>'


def _scale(largest: int) -> tuple[int, int]:
    """Top of an axis from 0, and the step of its three to five lines."""
    power = 1
    while True:
        for factor in _STEPS:
            step = factor * power
            if largest <= 4 * step:
                return max(-(-largest // step), 1) * step, step
        power *= 10

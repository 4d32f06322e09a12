"""Figure of the worst examples of each reason code, for a visual check of the quality limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ecgssl.config import Params, QualityParams, ReasonCode
from ecgssl.datasets.cohort import Cohort
from ecgssl.files import write_atomic
from ecgssl.inspection.worst_examples import MOST, Example, Examples, worst_examples
from ecgssl.signal.figure_file import figure_bytes, figure_suffix
from ecgssl.signal.findings import limit_text
from ecgssl.signal.reasons import REASONS

_INK, _MUTED, _PAPER, _GRID, _REJECTED, _KEPT = "#101010", "#5d6470", "#fffafa", "#f0c4c1", "#b3261e", "#1b5e9b"
_WIDTH, _ROW, _HEAD, _TOP, _BOTTOM, _SIDE, _GAP = 14.0, 1.75, 0.62, 1.0, 0.55, 0.45, 0.18
_BOX, _BOXES, _LEAST = 0.2, 14, 0.2
_HALO: dict[str, Any] = {"path_effects": [withStroke(linewidth=2.5, foreground=_PAPER)], "zorder": 4}
_SECONDS: dict[ReasonCode, float] = {"hf_noise": 3.0, "mains": 1.0, "railed": 3.0}
"""Duration in s of the plotted part, for artefacts that are not visible in a plot of the whole recording."""


def write_worst(path: Path | str, cohort: Cohort, store: Path | str, params: Params) -> Path:
    """Plot the worst recordings of each reason code in a store and write a figure.

    Args:
        path: output file; its suffix ``.png``, ``.pdf`` or ``.svg`` selects the format.
        cohort, params: cohort and parameters of the store.
        store: folder of the store.

    Returns:
        ``path``.

    Raises:
        InputError: the suffix of ``path`` is unknown, or ``path`` cannot be written.
    """
    suffix = figure_suffix(path)
    groups, unseen = worst_examples(cohort, store, params.quality, params.signal)
    title = f"Worst recordings of each reason: {cohort.name}, {len(cohort)} recordings"
    return write_atomic(path, figure_bytes(draw_worst(groups, unseen, params.quality, title), suffix))


def draw_worst(groups: Sequence[Examples], unseen: dict[str, int], params: QualityParams, title: str) -> Figure:
    """Return a figure of the worst examples with one row per reason code.

    Args:
        groups, unseen: results of ``worst_examples``.
        params: limits of the quality checks.
        title: title of the figure. It must not contain the name of a recording.
    """
    height = _TOP + max(len(groups), 1) * (_ROW + _HEAD) + _BOTTOM
    figure = Figure(figsize=(_WIDTH, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / _WIDTH, y / height, text, **style)

    write(_SIDE, height - 0.3, title, fontsize=15, fontweight="bold", color=_INK, va="center")
    key = (
        f"Up to {MOST} recordings of each reason, the worst first. Rows are those of the cohort's table; its header is row 1. "
        "Blue: kept with this flag, or with the lead masked. Red: left out."
    )
    write(_SIDE, height - 0.62, key, fontsize=10, color=_MUTED, va="center")
    if not groups:
        write(_SIDE, height - 1.4, "No recording has a finding.", fontsize=12, color=_INK)
    width = (_WIDTH - 2 * _SIDE - (MOST - 1) * _GAP) / MOST
    for number, group in enumerate(groups):
        top = height - _TOP - number * (_ROW + _HEAD)
        limit = limit_text(group.code, params)
        write(_SIDE, top - 0.02, group.code, fontsize=12, fontweight="bold", color=_INK, va="center")
        about = REASONS[group.code].figure + (f"; allowed: {limit}" if limit else "")
        about += f"; policy: {params.policy[group.code]}. {group.flagged} kept, {group.rejected} left out"
        write(_SIDE + 1.35, top - 0.02, about, fontsize=10, color=_MUTED, va="center")
        for column, example in enumerate(group.worst):
            left, bottom = _SIDE + column * (width + _GAP), top - _HEAD / 2 - _ROW + 0.12
            box = (left / _WIDTH, bottom / height, width / _WIDTH, (_ROW - 0.32) / height)
            _panel(figure.add_axes(box), example)
    reported = ", ".join(f"{reason} {count}" for reason, count in unseen.items())
    if reported:
        note = f"Rejected without a signal to draw: {reported}."
        write(_SIDE, 0.25, note, fontsize=10, color=_MUTED, va="center")
    return figure


def _panel(axes: Axes, example: Example) -> None:
    first, last = _window(example)
    shown = example.traces[:, first:last].astype(np.float64)
    time = np.arange(first, last) / example.sampling_rate
    step = max(1.2 * _range(row) for row in shown)
    bottom, top = min(-0.7 * step, -0.75), max((len(shown) - 0.3) * step, 0.75)
    margin = 0.09 * (time[-1] - time[0])
    _grid(axes, (time[0] - margin, time[-1]), (bottom, top))
    for place, (lead, row) in enumerate(zip(example.leads, shown, strict=True)):
        middle = (len(shown) - 1 - place) * step
        finite = row[np.isfinite(row)]
        centre = (finite.max() + finite.min()) / 2 if finite.size else 0.0
        axes.plot(time, row - centre + middle, color=_INK, linewidth=0.7, zorder=3)
        axes.text(time[0] - 0.9 * margin, middle, lead, fontsize=8, fontweight="bold", color=_INK, va="center", **_HALO)
    colour = _REJECTED if example.rejected else _KEPT
    axes.set_title(_caption(example), fontsize=9.5, color=colour, loc="left", pad=3)
    kind = "cleaned" if example.cleaned else "as recorded"
    axes.set_title(f"{kind}, {time[-1] - time[0]:.0f} s", fontsize=8, color=_MUTED, loc="right", pad=3)
    for spine in axes.spines.values():
        spine.set_color(colour)


def _caption(example: Example) -> str:
    finding = example.finding
    value = f"{finding.value:.3g} {REASONS[finding.code].unit}".strip()
    where = f"{finding.lead} " if finding.lead else ""
    more = f" (+{example.others} leads)" if example.others else ""
    return f"{where}{value}{more} · row {example.row} · {'left out' if example.rejected else 'kept'}"


def _window(example: Example) -> tuple[int, int]:
    """Return start and end (exclusive) of the part to plot, in samples."""
    code, samples, row = example.finding.code, example.traces.shape[1], np.nan_to_num(example.traces[0])
    if code not in _SECONDS:
        return 0, samples
    length, middle = min(samples, round(_SECONDS[code] * example.sampling_rate)), 0
    if code == "railed":
        middle = int(np.argmax((row == row.max()) | (row == row.min())))
    elif code == "hf_noise":
        second = max(1, round(example.sampling_rate))
        rough = np.abs(np.diff(row, n=2, append=[row[-1], row[-1]]))
        quiet = [np.quantile(part, 0.25) for part in np.array_split(rough, max(1, samples // second))]
        middle = int((np.argmax(quiet) + 0.5) * second)
    start = min(max(0, middle - length // 2), samples - length)
    return start, start + length


def _range(row: NDArray[np.float64]) -> float:
    finite = row[np.isfinite(row)]
    return max(float(np.ptp(finite)), _LEAST) if finite.size else _LEAST


def _grid(axes: Axes, seconds: tuple[float, float], millivolts: tuple[float, float]) -> None:
    """Draw an ECG grid and write its box size. A box is 0.2 s wide; its height in mV depends on the signal range."""
    (left, right), (bottom, top) = seconds, millivolts
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_facecolor(_PAPER)
    # heights of 0.1, 0.5, 1, 5 ... mV, without upper limit, because a wrong unit can cause very large voltages
    steps = (scale * digit for scale in 10.0 ** np.arange(-1, 30) for digit in (1, 5))
    height = next(step for step in steps if (top - bottom) / step <= _BOXES)
    axes.vlines(_multiples(left, right, _BOX), bottom, top, color=_GRID, linewidth=0.5)
    axes.hlines(_multiples(bottom, top, height), left, right, color=_GRID, linewidth=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    box = f"box {_BOX:g} s x {height:g} mV"
    axes.text(0.995, 0.03, box, transform=axes.transAxes, fontsize=7, color=_MUTED, ha="right", **_HALO)


def _multiples(low: float, high: float, step: float) -> NDArray[np.float64]:
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step

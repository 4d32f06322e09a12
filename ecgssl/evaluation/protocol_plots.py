"""Plots of the leaderboard: metric by share of labelled patients and by number of leads, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecgssl.evaluation.leaderboard import Entry
from ecgssl.signal.lead_sets import LEAD_SETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 4.6, 3.4


def draw_fractions(entries: Sequence[Entry]) -> Figure:
    """Draw the metric against the share of labelled patients, with one panel per task and one line per mode.

    Args:
        entries: leaderboard entries. Only entries that were trained and tested on the training leads of the first entry
            are drawn.
    """
    kept = [e for e in entries if e.trained_on == e.tested_on == entries[0].trained_on]
    figure, panels = _panels(kept)
    for task, axes in panels.items():
        for number, mode in enumerate(dict.fromkeys(e.mode for e in kept if e.task == task)):
            line = sorted((e for e in kept if e.task == task and e.mode == mode), key=lambda e: e.share)
            _line(axes, [100 * e.share * 1.02**number for e in line], line, mode, f"C{number}")
        axes.set_xscale("log")
        shares = sorted({100 * e.share for e in kept if e.task == task})
        axes.set_xticks(shares, [f"{share:g}" for share in shares], minor=False)
        axes.set_xticks([], minor=True)
        _finish(axes, task, "labelled patients (%)", next(e.metric_title for e in kept if e.task == task))
    return figure


def draw_leads(entries: Sequence[Entry]) -> Figure:
    """Draw the metric against the number of recorded leads.

    Solid lines show models that are tested on the leads they were trained on. Dashed lines show models that were trained
    on the training leads of the first entry.

    Args:
        entries: leaderboard entries. Only entries with the same share as the first entry are drawn.
    """
    kept = [e for e in entries if e.share == entries[0].share]
    reference = entries[0].trained_on
    figure, panels = _panels(kept)
    for task, axes in panels.items():
        for number, mode in enumerate(dict.fromkeys(e.mode for e in kept if e.task == task)):
            own = [e for e in kept if e.task == task and e.mode == mode]
            trained = sorted((e for e in own if e.trained_on == e.tested_on), key=_leads)
            tested = sorted((e for e in own if e.trained_on == reference), key=_leads)
            color = f"C{number}"
            _line(axes, [_leads(e) + 0.08 * number for e in trained], trained, f"{mode}, trained on them", color)
            if len(tested) > 1:
                label = f"{mode}, trained on {_count(reference)}"
                _line(axes, [_leads(e) - 0.08 * (number + 1) for e in tested], tested, label, color, "--")
        counts = sorted({_leads(e) for e in kept if e.task == task})
        axes.set_xticks(counts, [f"{count}" for count in counts])
        _finish(axes, task, "recorded leads", next(e.metric_title for e in kept if e.task == task))
    return figure


def _panels(entries: Sequence[Entry]) -> tuple[Figure, dict[str, Axes]]:
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(e.task for e in entries))
    figure = Figure(figsize=(_WIDTH * len(tasks), _HEIGHT), layout="constrained")
    grid = figure.subplots(1, len(tasks), squeeze=False)[0]
    return figure, dict(zip(tasks, grid, strict=True))


def _line(axes: Axes, x: list[float], line: list[Entry], label: str, color: str, style: str = "-") -> None:
    drawn = [(place, e.value, e.low, e.high) for place, e in zip(x, line, strict=True) if e.value is not None]
    places, values = [d[0] for d in drawn], [d[1] for d in drawn]
    below = [v - (v if low is None else low) for _, v, low, _ in drawn]
    above = [(v if high is None else high) - v for _, v, _, high in drawn]
    axes.errorbar(
        places, values, [below, above], marker="o", markersize=3, linewidth=1.2, capsize=2, elinewidth=0.7,
        linestyle=style, color=color, label=label,
    )  # fmt: skip


def _finish(axes: Axes, task: str, across: str, metric: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(metric)
    axes.set_title(task, fontsize=10)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _leads(e: Entry) -> int:
    return _count(e.tested_on)


def _count(leads: str) -> int:
    return len(LEAD_SETS[leads])

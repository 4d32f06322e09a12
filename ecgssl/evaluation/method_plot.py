"""Forest plot of the table of methods: one panel per task and test set, one line per method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgssl.evaluation.colours import COLOURS
from ecgssl.evaluation.method_table import RANDOM, MethodTable
from ecgssl.evaluation.predictions import CLINICAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL, _LINE = 2.6, 0.3
_OWN, _QUOTED = COLOURS[:2]
_BASELINE = "#777777"


def draw_methods(table: MethodTable) -> Figure:
    """Draw the results of a table of methods with their intervals.

    Filled dots are computed results (grey: random encoder and clinical baseline); open diamonds are quoted results,
    which have no interval.

    Args:
        table: table with at least one column.
    """
    from matplotlib.figure import Figure

    names = list(table.rows)
    width = 2.2 + _PANEL * len(table.columns)
    figure = Figure(figsize=(width, 1.3 + _LINE * len(names)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(table.columns), squeeze=False, sharey=True)[0]
    for axes, column in zip(panels, table.columns, strict=True):
        for place, name in enumerate(names):
            result = table.rows[name].get(column.title)
            if result is None or result.value is None:
                continue
            if result.quoted:
                axes.plot(result.value, place, "D", color=_QUOTED, markersize=5, markerfacecolor="none")
                continue
            colour = _BASELINE if name.startswith((RANDOM, CLINICAL)) else _OWN
            if result.low is not None and result.high is not None:
                axes.plot([result.low, result.high], [place, place], color=colour, linewidth=1.4)
            axes.plot(result.value, place, "o", color=colour, markersize=4.5)
        axes.set_title(column.title, fontsize=9, loc="left")
        axes.set_xlabel(f"{column.metric_title}, {column.records} recordings", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", color="#E5E5E5", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    if any(result.quoted for results in table.rows.values() for result in results.values()):
        figure.supxlabel(
            "dots: computed here; open diamonds: quoted, see the table for sources", fontsize=7, color="#555555"
        )
    return figure

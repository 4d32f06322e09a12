"""Chart and table of the results of ``growth.py``: CPU time and memory of each stage against the number of recordings.

python benchmarks/growth_chart.py        # writes docs/growth.png and prints a Markdown table
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from growth import RESULTS, SIZES
from matplotlib.figure import Figure

from ecgssl.files import write_atomic
from ecgssl.signal.figure_file import png_bytes

CHART = Path(__file__).parent.parent / "docs" / "growth.png"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A5195", "#A65628", "#444444", "#E69F00", "#56B4E9")
MARKERS = "osD^v<>Ph"
TIMES, MEMORIES = (0.01, 0.1, 1, 10, 100, 1000), (200, 400, 600, 1000, 2000, 4000, 8000, 16000)
Cells = dict[str, dict[str, dict[str, Any]]]


def draw(cells: Cells) -> Figure:
    """Return a figure with two panels, one above the other so that it is readable on a phone, and one line per stage."""
    figure = Figure(figsize=(4.6, 7.6), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for number, (stage, own) in enumerate(cells.items()):
        sizes = np.array(sorted(map(int, own)))
        style = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 5, "linewidth": 1.6, "label": stage}
        for axes, key in zip(panels, ("cpu_seconds", "peak_mb"), strict=True):
            axes.plot(sizes, [own[str(size)][key] for size in sizes], **style)
    reference = np.array([SIZES[0], SIZES[-1]])
    panels[0].plot(reference, reference / 1000 * 0.004, color="#999999", linestyle="--", linewidth=1)
    panels[0].text(SIZES[1], 0.045, "proportional", color="#666666", fontsize=9, rotation=33, ha="center", va="bottom")
    for axes, title in zip(panels, ("CPU time, s", "peak memory of the process, MB"), strict=True):
        axes.set(xscale="log", yscale="log")
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        axes.minorticks_off()
        axes.tick_params(labelsize=10)
        axes.grid(color="#DDDDDD", linewidth=0.7)
    for axes, ticks in zip(panels, (TIMES, MEMORIES), strict=True):
        low, high = axes.get_ylim()
        shown = [tick for tick in ticks if low <= tick <= high]
        axes.set_yticks(shown, [f"{tick:,g}" for tick in shown])
    panels[1].set_xlabel("recordings", fontsize=11)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=10, frameon=False)
    return figure


def table(cells: Cells, exponents: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table with CPU time (s) and peak memory (MB) of each cell, and the exponents of the time."""
    lines = [
        "| stage | " + " | ".join(f"{size:,}" for size in SIZES) + " | exponent | last step |",
        "|---|" + "--:|" * (len(SIZES) + 2),
    ]
    for stage, own in cells.items():
        found = [_cell(own.get(str(size))) for size in SIZES]
        slopes = exponents.get(stage, {"all": np.nan, "last": np.nan})
        lines.append(f"| {stage} | {' | '.join(found)} | {slopes['all']:.2f} | {slopes['last']:.2f} |")
    return "\n".join(lines)


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not measured"
    seconds = found["cpu_seconds"]
    return f"{seconds:.{0 if seconds >= 10 else 1 if seconds >= 1 else 2}f} s, {found['peak_mb']:,} MB"


def main() -> None:
    """Write the chart and print the table."""
    results = json.loads(RESULTS.read_text())
    cells = {stage: own for stage, own in results["cells"].items() if own}
    write_atomic(CHART, png_bytes(draw(cells), dpi=160))
    print(table(cells, results["exponents"]))


if __name__ == "__main__":
    main()

"""Chart of the results of the shipped encoders on fold 10 of PTB-XL, with the published results.

python benchmarks/results_chart.py        # writes docs/results.png
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgssl.files import write_atomic
from ecgssl.signal.figure_file import png_bytes

ROOT = Path(__file__).parents[1]
TABLES = [ROOT / "benchmarks" / "results" / f"ptbxl-{name}-fold10.csv" for name in ("nonlinear", "nonlinear-more")]
"""Tables of nonlinear probes, and of the linear probe of ``ptbxl-tiny``."""
PUBLISHED = ROOT / "pipelines" / "published.csv"
CHART = ROOT / "docs" / "results.png"
LABEL_SETS = ("superclass", "subclass", "diagnostic", "form", "rhythm", "all")
ROWS = {
    "mlp:minirocket": ("MiniRocket, nonlinear", "#444444", "s"),
    "mlp:clinical": ("clinical features, age and sex, nonlinear", "#009E73", "^"),
    "mlp:random": ("random encoder, nonlinear", "#CC79A7", "v"),
    "mlp:tiny": ("ptbxl-tiny, nonlinear", "#0072B2", "o"),
    "linear:tiny": ("ptbxl-tiny, linear", "#D55E00", "D"),
}
"""Name, colour and marker of each row."""
QUOTED = "xresnet1d101, supervised"
SHARES = (0.01, 0.05, 0.1, 1.0)


def measured_rows() -> pd.DataFrame:
    """Return the rows of the tables of ``ptbxl_results.py report`` for fold 10 that are drawn."""
    found = pd.concat([pd.read_csv(table) for table in TABLES])
    found = found[found["row"].isin([*ROWS]) & (found["leads"] == "12lead")]
    return found.drop_duplicates(["labels", "share", "row"])


def draw(measured: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Return a figure with two panels, one above the other so that it is readable on a phone.

    Args:
        measured: table of ``measured_rows``.
        published: quoted results (``pipelines/published.csv``).
    """
    figure = Figure(figsize=(4.6, 8.6), layout="constrained")
    by_labels, by_share = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1.5, 1]})
    _draw_label_sets(by_labels, measured[measured["share"] == 1.0], published[published["method"] == QUOTED])
    _draw_shares(by_share, measured)
    handles, names = by_labels.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=1, fontsize=10, frameon=False)
    return figure


def _draw_label_sets(axes: Axes, measured: pd.DataFrame, quoted: pd.DataFrame) -> None:
    for number, (row, (name, colour, marker)) in enumerate(ROWS.items()):
        lines = measured[measured["row"] == row].set_index("labels")
        own = lines.reindex([labels for labels in LABEL_SETS if labels in lines.index])
        at = [LABEL_SETS.index(labels) + 0.14 * (number - 2.5) for labels in own.index]
        error = [own["auroc"] - own["low"], own["high"] - own["auroc"]]
        axes.errorbar(
            own["auroc"], at, xerr=error, fmt=marker, color=colour, markersize=5, elinewidth=1.4, label=name
        )  # fmt: skip
    at = [LABEL_SETS.index("all" if task == "all_statements" else task) + 0.375 for task in quoted["task"]]
    axes.plot(quoted["value"], at, "x", color="black", markersize=6, label=f"{QUOTED} (quoted)")
    axes.set_yticks(range(len(LABEL_SETS)), LABEL_SETS)
    axes.invert_yaxis()
    for border in range(1, len(LABEL_SETS)):
        axes.axhline(border - 0.5, color="#DDDDDD", linewidth=0.7)
    axes.set_title("macro AUROC on fold 10, all labels", fontsize=11, loc="left")
    axes.tick_params(labelsize=10)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7)


def _draw_shares(axes: Axes, measured: pd.DataFrame) -> None:
    for row in ("mlp:minirocket", "mlp:clinical", "mlp:tiny", "linear:tiny"):
        _, colour, marker = ROWS[row]
        for labels, style in (("superclass", "-"), ("all", "--")):
            chosen = (measured["row"] == row) & (measured["labels"] == labels)
            own = measured[chosen].set_index("share")["auroc"].reindex(SHARES).dropna()
            axes.plot(own.index, own, style, marker=marker, color=colour, markersize=5, linewidth=1.4)
            # above the highest curve, and below the lowest one
            if (row, labels) in (("mlp:clinical", "superclass"), ("linear:tiny", "all")):
                offset = (-58, 6) if labels == "superclass" else (6, -13)
                axes.annotate(labels, (own.index[1], own.iloc[1]), offset, textcoords="offset points", fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(SHARES, [f"{share:.0%}" for share in SHARES])
    axes.minorticks_off()
    axes.set_title("the same by share of the labelled patients", fontsize=11, loc="left")
    axes.tick_params(labelsize=10)
    axes.grid(color="#DDDDDD", linewidth=0.7)


def main() -> None:
    """Write the chart."""
    figure = draw(measured_rows(), pd.read_csv(PUBLISHED))
    write_atomic(CHART, png_bytes(figure, dpi=160))


if __name__ == "__main__":
    main()

"""ROC curves and reliability diagrams, drawn with one panel per label."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecgssl.evaluation.calibration.reliability import BINS, brier, expected_calibration_error, reliability
from ecgssl.evaluation.colours import BASELINE, COLOURS
from ecgssl.evaluation.curves import roc_curve, thin
from ecgssl.evaluation.predictions import labels_of, patients_of
from ecgssl.evaluation.statistics.bootstrap import interval, patient_weights
from ecgssl.evaluation.statistics.metrics import Array, ranking_metrics, support
from ecgssl.evaluation.statistics.ranking import cumulative_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FINE = np.linspace(0, 1, 101)
_CHARACTERS = 18
"""Number of characters of the footer per inch of the figure's width."""
_CELLS = 1 << 21
"""Maximum number of resamples times recordings whose ROC curves are computed at a time."""


def draw_roc(
    predictions: pd.DataFrame,
    split: str = "test",
    *,
    main: str | None = None,
    baseline: str | None = "random",
    bootstrap: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
    max_labels: int = 12,
) -> Figure:
    """Draw the ROC curves of every model, one panel per label, with AUROC in the legend.

    Args:
        predictions: prediction table, as made by ``prediction_table``.
        split: split of the recordings.
        main: highlighted model; by default the first model that is not the baseline.
        baseline: model drawn as a dashed grey line.
        bootstrap: number of patient resamples for the pointwise band and the AUROC interval of the main model; 0 for
            none.
        confidence: confidence level of the band and the interval.
        seed: seed of the resamples.
        max_labels: maximum number of panels. Labels with the most positives are shown; the footer states how many are
            not shown.

    Raises:
        ValueError: the split has no rows.
    """
    table, names, note = _selection(predictions, split, max_labels)
    models = list(dict.fromkeys(table["model"]))
    main = main or next((m for m in models if m != baseline), models[0])
    figure, panels = _grid(len(names))
    colours = _colours(models, main, baseline)
    for axes, name in zip(panels, names, strict=True):
        _identity(axes)
        counted = support(table.loc[table["model"] == main, f"target__{name}"].to_numpy())
        _title(axes, name, f"{counted.positives} of {counted.records} positive")
        if counted.undefined:
            axes.text(0.5, 0.5, counted.undefined, ha="center", va="center", color=BASELINE)
            continue
        for model in sorted(models, key=lambda m: (m == main, m != baseline, -models.index(m))):
            part = table[table["model"] == model]
            y, z = part[f"target__{name}"].to_numpy(), part[f"logit__{name}"].to_numpy()
            text = f"{model} {ranking_metrics(y, z)[0][0]:.3f}"
            if model == main and bootstrap:
                low, high, found = _band(y, z, patients_of(part), bootstrap, confidence, seed)
                axes.fill_between(_FINE, low, high, color=colours[model], alpha=0.18, linewidth=0)
                text += f" ({found[0]:.3f}–{found[1]:.3f})"
            style: dict[str, Any] = {"linestyle": (0, (4, 2))} if model == baseline else {}
            fpr, tpr = thin(*roc_curve(y, z), 400)
            width = 1.8 if model == main else 1.2
            axes.plot(fpr, tpr, color=colours[model], linewidth=width, label=text, **style)
        handles, texts = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], texts[::-1], loc="lower right", fontsize=7, frameon=False, title="AUROC", title_fontsize=7
        )
    _label_outer(panels, "1 − specificity", "sensitivity")
    band = f"; band and interval: {100 * confidence:g} % bootstrap of patients" if bootstrap else ""
    _footer(figure, f"{split} split{band}{note}")
    return figure


def draw_reliability(
    predictions: pd.DataFrame,
    split: str = "test",
    *,
    model: str | None = None,
    baseline: str | None = "random",
    bins: int = BINS,
    max_labels: int = 12,
) -> Figure:
    """Draw the reliability diagrams of one model, one panel per label.

    Each panel shows bins of about equal count with Wilson intervals, and histograms of the predicted probability. The
    probabilities are those of the model before calibration.

    Args:
        predictions: prediction table, as made by ``prediction_table``.
        split: split of the recordings.
        model: name of the model; by default the first that is not the baseline.
        baseline: name of the baseline model. It is used only to choose the default of ``model``.
        bins: maximum number of bins.
        max_labels: maximum number of panels, as for ``draw_roc``.

    Raises:
        ValueError: the split has no rows.
    """
    table, names, note = _selection(predictions, split, max_labels)
    models = list(dict.fromkeys(table["model"]))
    model = model or next((m for m in models if m != baseline), models[0])
    table = table[table["model"] == model]
    figure, panels = _grid(len(names))
    for axes, name in zip(panels, names, strict=True):
        _identity(axes)
        y, p = table[f"target__{name}"].to_numpy(), table[f"prob__{name}"].to_numpy()
        counted = support(y)
        measures = f"\nBrier {brier(y, p):.3f}, ECE {expected_calibration_error(y, p, bins):.3f}"
        shown = measures if not counted.undefined else ""
        _title(axes, name, f"{counted.positives} of {counted.records} positive{shown}")
        if not counted.records:
            axes.text(0.5, 0.5, counted.undefined, ha="center", va="center", color=BASELINE)
            continue
        axes.axhline(counted.positives / counted.records, color=BASELINE, linewidth=0.8, linestyle=":")
        for outcome, colour, direction in ((1, COLOURS[1], 1), (0, BASELINE, -1)):
            count, edges = np.histogram(p[y == outcome], bins=40, range=(0, 1))
            height = direction * 0.1 * count / max(count.max(), 1)
            axes.bar(edges[:-1], height, 1 / 40, -0.16, align="edge", color=colour, alpha=0.6, linewidth=0)
        found = reliability(y, p, bins)
        x, observed = np.array([b.predicted for b in found]), np.array([b.observed for b in found])
        error = np.array([[b.observed - b.low, b.high - b.observed] for b in found]).T
        style: dict[str, Any] = {"elinewidth": 1.0, "capsize": 2, "markersize": 4, "linewidth": 1.2}
        axes.errorbar(x, observed, np.maximum(error, 0), fmt="o-", color=COLOURS[0], **style)
        axes.set_ylim(-0.28, 1.02)
    _label_outer(panels, "predicted probability", "observed share")
    about = (
        "probabilities before calibration; equal-count bins, 95 % Wilson intervals; dotted: prevalence; "
        "bars: histograms of positives (up) and negatives (down), scaled"
    )
    _footer(figure, f"{model}, {split} split; {about}{note}")
    return figure


def _selection(predictions: pd.DataFrame, split: str, most: int) -> tuple[pd.DataFrame, list[str], str]:
    table = predictions[predictions["split"] == split]
    if not len(table):
        raise ValueError(f"no predictions in split {split!r}")
    names = labels_of(table)
    frequent = sorted(names, key=lambda n: -float(np.nansum(table[f"target__{n}"])))[:most]
    left_out = len(names) - len(frequent)
    return table, [n for n in names if n in frequent], f"; {left_out} rarer labels not shown" if left_out else ""


def _grid(panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = panels if panels <= 3 else ceil(panels / ceil(panels / 4))
    rows = ceil(panels / columns)
    figure = Figure(
        figsize=(2.75 * columns + 0.4, 2.95 * rows + 0.4),
        dpi=150,
        layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.05),
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for spare in axes.ravel()[panels:]:
        spare.remove()
    return figure, list(axes.ravel()[:panels])


def _colours(models: Sequence[str], main: str, baseline: str | None) -> dict[str, str]:
    others = [m for m in models if m not in (main, baseline)]
    colours = {m: COLOURS[1 + k % (len(COLOURS) - 1)] for k, m in enumerate(others)}
    if baseline is not None:
        colours[baseline] = BASELINE
    return colours | {main: COLOURS[0]}


def _identity(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _title(axes: Axes, name: str, counted: str) -> None:
    # use separate lines, because a long name would overlap the count
    pad = 14 + 9 * counted.count("\n")
    axes.set_title(name, fontsize=10, loc="left", fontweight="bold", pad=pad)
    axes.text(0, 1.025, counted, transform=axes.transAxes, fontsize=7, color="#555555")


def _label_outer(panels: Sequence[Axes], x: str, y: str) -> None:
    for axes in panels:
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel(y, fontsize=9)
        axes.set_xlabel(x, fontsize=9)


def _footer(figure: Figure, text: str) -> None:
    lines = textwrap.wrap(text, width=round(_CHARACTERS * figure.get_figwidth()))
    figure.supxlabel("\n".join(lines), fontsize=7, color="#555555", x=0.01, ha="left")
    # the first pass of the layout clips titles above panels of equal aspect
    figure.draw_without_rendering()


def _band(
    y: Array, z: Array, patients: np.ndarray, resamples: int, confidence: float, seed: int
) -> tuple[Array, Array, tuple[float, float]]:
    """Return a pointwise band of the sensitivity at the false positive rates ``_FINE``, and the AUROC interval.

    The result is NaN if no resample contains both classes.
    """
    curves, areas = [], []
    for block in patient_weights(patients, resamples, seed, cells=_CELLS):
        areas.append(ranking_metrics(y, z, block)[0])
        for hits, false in zip(*cumulative_counts(y, z, block), strict=True):
            if hits[-1] and false[-1]:
                curves.append(np.interp(_FINE, false / false[-1], hits / hits[-1], left=0.0))
    found = interval(np.concatenate(areas), confidence)
    if not curves:
        nothing = np.full(len(_FINE), np.nan)
        return nothing, nothing, (found.low, found.high)
    low, high = np.quantile(np.array(curves), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high, (found.low, found.high)

"""Tables and a figure of ``ablation.py``: means over seeds, with paired intervals over patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgssl.evaluation.intervals import bootstrap, interval
from ecgssl.evaluation.selection import macro_auroc
from ecgssl.files import write_atomic
from ecgssl.signal.drawing import png_bytes

RESAMPLES = 1000


def mean_replicates(
    cells: list[Path], name: str, values: np.ndarray, patients: np.ndarray
) -> tuple[list[float], np.ndarray]:
    """Macro AUROC of every seed, and (R,) means over the seeds in the same resamples of patients."""
    found, replicates = [], []
    for cell in cells:
        with np.load(cell / "logits.npz", allow_pickle=False) as kept:
            logits = kept[name]
        found.append(macro_auroc(values, logits))
        replicates.append(bootstrap(values, logits, patients, RESAMPLES, 0).macro("auroc"))
    return found, np.mean(replicates, axis=0)


def compare(out: Path, split: str, against: str) -> pd.DataFrame:
    """One line per task, mode, share and row: mean over seeds with interval, spread of seeds, difference to a row.

    A difference is of means over the seeds that both rows have; its interval resamples patients, so it holds for these
    pretrained encoders; ``seeds_agree`` says how many of the seeds have its sign.
    """
    results = pd.read_parquet(out / "results.parquet")
    truth = pd.read_parquet(out / "truth" / "truth.parquet")
    tasks = pd.read_json(out / "run.json", typ="series")["tasks"]
    part = truth[truth["split"] == split]
    lines = []
    for (task, mode, share), group in results.groupby(["task", "mode", "share"], sort=False):
        values = part[tasks[task]].to_numpy(dtype=float)
        name = f"{task}/{share:g}/{mode}/{split}"
        cells = {row: dict(zip(c["seed"], c["cell"], strict=True)) for row, c in group.groupby("row", sort=False)}
        at = {row: mean_replicates([out / "cells" / c for c in of.values()], name, values, part["patient"].to_numpy())
              for row, of in cells.items()}  # fmt: skip
        for row, (found, replicates) in at.items():
            low, high = (lambda i: (i.low, i.high))(interval(replicates))
            line = {"task": task, "mode": mode, "share": share, "row": row, "seeds": len(found)}
            line |= {
                "auroc": np.mean(found),
                "low": low,
                "high": high,
                "seed_sd": np.std(found, ddof=1) if len(found) > 1 else np.nan,
            }
            if against in at and row != against and set(cells[row]) == set(cells[against]):
                reference = at[against]
                difference = interval(replicates - reference[1])
                each = np.subtract(found, reference[0])
                line |= {"difference": each.mean(), "d_low": difference.low, "d_high": difference.high}
                line["seeds_agree"] = int((np.sign(each) == np.sign(each.mean())).sum())
            lines.append(line)
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame, against: str) -> str:
    """The comparison as Markdown, a table per task and mode."""
    texts = []
    for (task, mode), group in table.groupby(["task", "mode"], sort=False):
        texts.append(f"\n**{task}, {mode}**\n")
        heads = ["row", "share of labels", "macro AUROC (95 % interval)", f"sd of {int(group['seeds'].max())} seeds"]
        texts.append(f"| {' | '.join([*heads, f'minus {against}', 'seeds agree'])} |")
        texts.append("|---|---|---|---|---|---|")
        for line in group.itertuples():
            sd = "" if np.isnan(line.seed_sd) else f"{line.seed_sd:.3f}"
            reached = f"{line.auroc:.3f} ({line.low:.3f} to {line.high:.3f})"
            gain = agree = ""
            if not np.isnan(getattr(line, "difference", np.nan)):
                gain = f"{line.difference:+.3f} ({line.d_low:+.3f} to {line.d_high:+.3f})"
                agree = f"{line.seeds_agree:.0f} of {line.seeds}"
            texts.append(f"| {line.row} | {line.share:.0%} | {reached} | {sd} | {gain} | {agree} |")
    return "\n".join(texts)


def draw(table: pd.DataFrame, split: str) -> Figure:
    """Rows against macro AUROC, a panel per task and mode, a colour per share of the labels."""
    panels = list(table.groupby(["task", "mode"], sort=False))
    rows = list(dict.fromkeys(table["row"]))
    figure = Figure(figsize=(4.2 * len(panels) + 1.5, 0.45 * len(rows) + 1.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    shares = sorted(table["share"].unique())
    for axis, ((task, mode), group) in zip(axes, panels, strict=True):
        for k, share in enumerate(shares):
            part = group[group["share"] == share]
            y = np.array([rows.index(r) for r in part["row"]]) + 0.22 * (k - (len(shares) - 1) / 2)
            error = np.stack([part["auroc"] - part["low"], part["high"] - part["auroc"]])
            colour = ("0.6", "tab:orange", "tab:blue", "tab:green")[-len(shares) :][k]
            axis.errorbar(
                part["auroc"], y, xerr=error, fmt="o", ms=4, lw=1, color=colour, label=f"{share:.0%} of labels"
            )
        axis.set(title=f"{task}, {mode}", xlabel=f"macro AUROC, {split}", yticks=range(len(rows)), yticklabels=rows)
        axis.grid(axis="x", lw=0.3)
    axes[0].invert_yaxis()
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(shares), frameon=False)
    return figure


def report(out: Path, split: str, against: str) -> str:
    """Write ``SPLIT.csv`` and ``SPLIT.png`` into the folder; the tables as Markdown come back."""
    table = compare(out, split, against)
    write_atomic(out / f"{split}.csv", table.to_csv(index=False, float_format="%.4f"))
    write_atomic(out / f"{split}.png", png_bytes(draw(table, split)))
    return markdown(table, against)

"""Tables and figure of ``ablation.py``: means over seeds, with paired bootstrap intervals over patients.

With several folders, each is one tuning run of all rows, with other parameters. Every row uses the folder with its best
mean macro AUROC on validation, so that all rows have the same number of tuning runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.statistics.bootstrap import bootstrap, interval
from ecgssl.files import write_atomic
from ecgssl.probes.selection import macro_auroc
from ecgssl.signal.figure_file import png_bytes

RESAMPLES = 1000
Reached = tuple[list[float], np.ndarray]
"""Macro AUROC of every seed, and its mean over seeds in each of R bootstrap resamples of patients (R,).

All rows use the same resamples.
"""


def mean_replicates(cells: list[Path], name: str, values: np.ndarray, patients: np.ndarray) -> Reached:
    """Return the macro AUROC of each cell of one row, and its mean over cells in each bootstrap resample."""
    found, replicates = [], []
    for cell in cells:
        with np.load(cell / "logits.npz", allow_pickle=False) as kept:
            logits = kept[name]
        found.append(macro_auroc(values, logits))
        replicates.append(bootstrap(values, logits, patients, RESAMPLES, 0).macro("auroc"))
    return found, np.mean(replicates, axis=0)


def tuning_runs(outs: Sequence[Path]) -> pd.DataFrame:
    """Return the mean macro AUROC on validation of each row (index) in each folder (columns 0, 1, ...), NaN if missing.

    The mean is taken over tasks, modes, label fractions and seeds.

    Raises:
        InputError: a folder has other tasks, label fractions, recordings or compute than the first.
    """
    first = _asked(outs[0])
    problems = [
        Problem(
            str(out / "run.json"), name, f"differs from {outs[0]}", "Report only folders of the same study together"
        )
        for out in outs[1:]
        for name, value in _asked(out).items()
        if value != first[name]
    ]
    if problems:
        raise InputError(problems)
    found = [pd.read_parquet(out / "results.parquet").groupby("row", sort=False)["val_auroc"].mean() for out in outs]
    return pd.concat(dict(enumerate(found)), axis=1, sort=False)


def _asked(out: Path) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads((out / "run.json").read_text())
    return {name: value for name, value in asked.items() if name != "params"}


def compare(outs: Sequence[Path], split: str, against: str) -> pd.DataFrame:
    """Return a table with one line per task, mode, label fraction and row; see ``tuning_runs`` for several folders.

    Each line contains the mean over seeds with its 95 % interval, the standard deviation over seeds, and the difference to the
    row ``against``. The difference is computed only if both rows have the same seeds. Its interval is a bootstrap over
    patients and does not include the variance of pretraining. ``seeds_agree`` is the number of seeds with a difference of
    the same sign as the mean. With several tasks, the last lines (``mean``) are averages over tasks and label fractions.
    """
    best = tuning_runs(outs).idxmax(axis=1)
    all_runs = [pd.read_parquet(out / "results.parquet") for out in outs]
    results = pd.concat([run[run["row"].map(best) == k].assign(out=str(outs[k])) for k, run in enumerate(all_runs)])
    truth = pd.read_parquet(outs[0] / "truth" / "truth.parquet")
    tasks = _asked(outs[0])["tasks"]
    part = truth[truth["split"] == split]
    lines: list[dict[str, Any]] = []
    seen: dict[str, dict[str, list[Reached]]] = {}
    seeds = {row: tuple(group["seed"].unique()) for row, group in results.groupby("row", sort=False)}
    for (task, mode, share), group in results.groupby(["task", "mode", "share"], sort=False):
        values = part[tasks[task]].to_numpy(dtype=float)
        name = f"{task}/{share:g}/{mode}/{split}"
        at = {
            row: mean_replicates(
                [Path(line.out) / "cells" / line.cell for line in cells.itertuples()], name, values,
                part["patient"].to_numpy(),
            )
            for row, cells in group.groupby("row", sort=False)
        }  # fmt: skip
        for row, reached in at.items():
            seen.setdefault(mode, {}).setdefault(row, []).append(reached)
        lines += compared(at, seeds, against, {"task": task, "mode": mode, "share": share})
    for mode, rows in seen.items():
        if len(tasks) > 1:
            whole = {row: all_of(reached) for row, reached in rows.items()}
            lines += compared(whole, seeds, against, {"task": "mean", "mode": mode, "share": np.nan})
    return pd.DataFrame(lines)


def all_of(reached: list[Reached]) -> Reached:
    """Return the mean over tasks and label fractions, computed from the same patient resamples."""
    return list(np.mean([found for found, _ in reached], axis=0)), np.mean([r for _, r in reached], axis=0)


def compared(
    at: dict[str, Reached], seeds: dict[str, tuple[int, ...]], against: str, place: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return one table line per row, for one task, mode and label fraction."""
    lines = []
    for row, (found, replicates) in at.items():
        reached = interval(replicates)
        line = {**place, "row": row, "seeds": len(found), "auroc": np.mean(found)}
        line |= {
            "low": reached.low,
            "high": reached.high,
            "seed_sd": np.std(found, ddof=1) if len(found) > 1 else np.nan,
        }
        if against in at and row != against and seeds[row] == seeds[against]:
            reference = at[against]
            difference = interval(replicates - reference[1])
            each = np.subtract(found, reference[0])
            line |= {"difference": each.mean(), "d_low": difference.low, "d_high": difference.high}
            line["seeds_agree"] = int((np.sign(each) == np.sign(each.mean())).sum())
        lines.append(line)
    return lines


def markdown(table: pd.DataFrame, against: str) -> str:
    """Return the comparison as Markdown, with one table per task and mode."""
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
            share = "all" if np.isnan(line.share) else f"{line.share:.0%}"
            if not np.isnan(getattr(line, "difference", np.nan)):
                gain = f"{line.difference:+.3f} ({line.d_low:+.3f} to {line.d_high:+.3f})"
                agree = f"{line.seeds_agree:.0f} of {line.seeds}"
            texts.append(f"| {line.row} | {share} | {reached} | {sd} | {gain} | {agree} |")
    return "\n".join(texts)


def draw(table: pd.DataFrame, split: str) -> Figure:
    """Return a figure of macro AUROC by row, with one panel per task and mode, and one colour per label fraction."""
    panels = list(table.groupby(["task", "mode"], sort=False))
    rows = list(dict.fromkeys(table["row"]))
    figure = Figure(figsize=(4.2 * len(panels) + 1.5, 0.45 * len(rows) + 1.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    shares = sorted(table["share"].dropna().unique())
    colours = dict(zip(shares, ("0.6", "tab:orange", "tab:blue", "tab:green")[-len(shares) :], strict=True))
    for axis, ((task, mode), group) in zip(axes, panels, strict=True):
        for share, part in group.groupby("share", dropna=False):
            mean = np.isnan(share)
            y = np.array([rows.index(r) for r in part["row"]], dtype=float)
            y += 0 if mean else 0.22 * (shares.index(share) - (len(shares) - 1) / 2)
            error = np.stack([part["auroc"] - part["low"], part["high"] - part["auroc"]])
            label = "mean over tasks and shares" if mean else f"{share:.0%} of labels"
            axis.errorbar(
                part["auroc"], y, xerr=error, fmt="o", ms=4, lw=1, color="k" if mean else colours[share], label=label
            )
        axis.set(title=f"{task}, {mode}", xlabel=f"macro AUROC, {split}", yticks=range(len(rows)), yticklabels=rows)
        axis.grid(axis="x", lw=0.3)
    axes[0].invert_yaxis()
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def tuning_table(outs: Sequence[Path]) -> str:
    """Return the tuning runs of each row as a Markdown table. The best run of a row is bold."""
    runs = tuning_runs(outs)
    head = [f"\n| row | {' | '.join(str(out) for out in outs)} |", f"|---{'|--:' * len(outs)}|"]
    best = runs.max(axis=1)
    for row, values in runs.iterrows():
        shown = ["" if np.isnan(v) else f"**{v:.4f}**" if v == best[row] else f"{v:.4f}" for v in values]
        head.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(head)


def report(outs: Sequence[Path], split: str, against: str) -> str:
    """Write ``SPLIT.csv`` and ``SPLIT.png`` into the first folder and return the tables as Markdown."""
    table = compare(outs, split, against)
    write_atomic(outs[0] / f"{split}.csv", table.to_csv(index=False, float_format="%.4f"))
    write_atomic(outs[0] / f"{split}.png", png_bytes(draw(table, split)))
    return markdown(table, against) + ("\n" + tuning_table(outs) if len(outs) > 1 else "")

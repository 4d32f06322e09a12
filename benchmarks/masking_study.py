"""Linear predictability of hidden patches from visible ones, by type of masking.

    python benchmarks/masking_study.py --store data/processed/ptbxl --out runs/masking

A hidden patch is predicted by the best linear estimate from all visible samples of the same time column and the
adjacent columns: E[h | v] = C_hv (C_vv + ridge)^-1 v. C is the covariance of training recordings, assuming zero mean. The
prediction is evaluated on validation recordings of other patients. The result is R2 = 1 - sum of squared errors / sum of
squares, with a 95 % bootstrap interval over patients. A hidden limb patch is *determined* if two other limb leads are
visible at the same time. Einthoven's and Goldberger's laws then give it exactly, and are sufficient to minimise its
reconstruction loss.

The script writes ``masking.json`` and ``masking.png``, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecgssl.config import STDMParams
from ecgssl.files import write_atomic, write_json
from ecgssl.model.stdm import draw_mask
from ecgssl.signal.figure_file import png_bytes
from ecgssl.signal.leads import LIMB_LEADS
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch

KINDS = ("random", "paper", "einthoven")
NEIGHBOURS = 1
"""Number of adjacent columns on each side that are used for prediction."""
RIDGE = 1e-5
"""Ridge as a fraction of the mean variance.

It keeps the inverse stable and is small enough to preserve the limb-lead laws.
"""
Array = NDArray[np.float64]


def recordings(store: Store, split: str, count: int) -> tuple[Array, NDArray[np.int64]]:
    """Return up to ``count`` normalised recordings (B, L, T) of a split with all leads, and their patient codes (B,)."""
    rows = store.rows(split)
    rows = rows[store.lead_mask(rows).all(axis=1)][:count]
    batch = load_batch(store, rows, torch.device("cpu"))
    return batch.x.double().numpy(), store.patients[rows]


def covariance(x: Array, patch: int) -> Array:
    """Return the second moments (L W, L W) of all leads in windows of 2 NEIGHBOURS + 1 columns with W samples."""
    window = (2 * NEIGHBOURS + 1) * patch
    total, seen = np.zeros((x.shape[1] * window,) * 2), 0
    for start in range(0, x.shape[-1] - window + 1, patch):
        piece = x[:, :, start : start + window].reshape(len(x), -1)
        total, seen = total + piece.T @ piece, seen + len(piece)
    return total / seen


def by_the_laws(lead: int, visible: NDArray[np.bool_], leads: tuple[str, ...]) -> bool:
    """Return whether a lead is a limb lead that the visible limb leads determine."""
    others = sum(bool(visible[i]) for i, name in enumerate(leads) if name in LIMB_LEADS and i != lead)
    return leads[lead] in LIMB_LEADS and others >= 2


def study(
    kind: str, x: Array, cov: Array, leads: tuple[str, ...], patch: int, per_recording: int
) -> list[dict[str, Any]]:
    """Return one row per evaluated patch, with recording, cause of masking, sum of squared errors and sum of squares.

    Args:
        kind: kind of masking; the ratios are those of the paper.
        x: (B, L, T) recordings.
        cov: covariance of windows of training recordings.
        leads: names of the L leads.
        patch: number of samples per patch.
        per_recording: number of hidden patches that are drawn from each recording.
    """
    columns = x.shape[-1] // patch
    width = (2 * NEIGHBOURS + 1) * patch
    ridge = RIDGE * float(np.trace(cov)) / len(cov)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number, recording in enumerate(x):
        generator = torch.Generator().manual_seed(number)
        # the step selects whether counts are rounded up or down and, for einthoven, which kind of leads is dropped
        mask = draw_mask(STDMParams(kind=kind), 1, leads, columns, number, generator)
        hidden, dropped, times = (m[0].numpy() for m in (mask.hidden, mask.hidden_lead, mask.hidden_time))
        inner = np.argwhere(hidden[:, NEIGHBOURS : columns - NEIGHBOURS])
        for lead, column in rng.permutation(inner)[:per_recording]:
            column += NEIGHBOURS
            around = slice(column - NEIGHBOURS, column + NEIGHBOURS + 1)
            seen = np.repeat(~hidden[:, around], patch, axis=1).ravel()
            piece = recording[:, around.start * patch : around.stop * patch].ravel()
            start = lead * width + NEIGHBOURS * patch
            wanted = np.arange(start, start + patch)
            visible = np.flatnonzero(seen)
            inner_part = cov[np.ix_(visible, visible)] + ridge * np.eye(len(visible))
            found = cov[np.ix_(wanted, visible)] @ np.linalg.solve(inner_part, piece[visible])
            target = piece[wanted]
            cause = ("time", "lead", "both")[2 if dropped[lead] and times[column] else int(dropped[lead])]
            rows.append(
                {
                    "recording": number,
                    "cause": "patch" if kind == "random" else cause,
                    "leads": "limb" if leads[lead] in LIMB_LEADS else "chest",
                    "determined": by_the_laws(int(lead), ~hidden[:, column], leads),
                    "error": float(np.square(found - target).sum()),
                    "power": float(np.square(target).sum()),
                }
            )
    return rows


def summary(kind: str, rows: list[dict[str, Any]], patients: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return R2 with its 95 % interval by cause and group of leads."""
    cells = sorted({(r["cause"], r["leads"], r["determined"]) for r in rows})
    out = []
    for cell in cells:
        chosen = [r for r in rows if (r["cause"], r["leads"], r["determined"]) == cell]
        who = patients[[r["recording"] for r in chosen]]
        error, power = (np.array([r[name] for r in chosen]) for name in ("error", "power"))
        _, place = np.unique(who, return_inverse=True)
        sums = np.stack([np.bincount(place, weights=values) for values in (error, power)])
        draws = np.random.default_rng(0).multinomial(sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), 1000)
        again = draws @ sums.T
        low, high = np.quantile(1 - again[:, 0] / again[:, 1], (0.025, 0.975))
        out.append(
            {
                "masking": kind,
                "cause": cell[0],
                "leads": cell[1],
                "determined": bool(cell[2]),
                "share_of_hidden": len(chosen) / len(rows),
                "patches": len(chosen),
                "r2": float(1 - error.sum() / power.sum()),
                "interval": [float(low), float(high)],
            }
        )
    return out


def table(cells: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| masking | hidden by | leads | two limb leads visible | share of hidden patches | R2 (95 % interval) |",
        "|---|---|---|---|---|---|",
    ]
    for c in cells:
        low, high = c["interval"]
        lines.append(
            f"| {c['masking']} | {c['cause']} | {c['leads']} | {'yes' if c['determined'] else 'no'} "
            f"| {100 * c['share_of_hidden']:.0f} % | {c['r2']:.3f} ({low:.3f} to {high:.3f}) |"
        )
    return "\n".join(lines)


def draw(cells: list[dict[str, Any]]) -> Figure:
    """Return a figure of R2 with one panel per kind of masking. The height of a bar is its share of the hidden patches."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharex=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        place = 0.0
        for c in (c for c in cells if c["masking"] == kind):
            height, (low, high) = c["share_of_hidden"], c["interval"]
            colour = "#D55E00" if c["determined"] else "#0072B2" if c["leads"] == "limb" else "#009E73"
            axes.barh(place, max(c["r2"], 0), height=height, align="edge", color=colour, edgecolor="white")
            axes.plot([max(low, 0), max(high, 0)], [place + height / 2] * 2, color="black", lw=1)
            note = ", given by the laws" if c["determined"] else ""
            inside = c["r2"] > 0.5
            axes.text(
                0.02 if inside else max(high, 0) + 0.02, place + height / 2, f"{c['cause']}, {c['leads']}{note}",
                va="center", fontsize=7, color="white" if inside else "black",
            )  # fmt: skip
            place += height
        axes.set(title=kind, xlim=(0, 1.02), ylim=(1, 0), xlabel="R2 of least squares", yticks=[0, 0.5, 1])
    panels[0].set_ylabel("share of hidden patches")
    return figure


def main() -> None:
    """Run the study, print the table and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="store written by ecgssl preprocess")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patch", type=int, default=50, help="samples per patch")
    parser.add_argument("--train", type=int, default=2000, help="recordings for the covariance")
    parser.add_argument("--val", type=int, default=150, help="validation recordings for prediction")
    parser.add_argument("--per-recording", type=int, default=16, help="hidden patches per recording")
    args = parser.parse_args()
    store = Store(args.store)
    leads = tuple(store.spec.leads)
    train, trained_on = recordings(store, "train", args.train)
    x, patients = recordings(store, "val", args.val)
    assert not set(trained_on) & set(patients), "a patient is in the train and val splits"
    cov = covariance(train, args.patch)
    cells = []
    for kind in KINDS:
        cells += summary(kind, study(kind, x, cov, leads, args.patch, args.per_recording), patients)
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"train_recordings": len(train), "val_recordings": len(x), "patch": args.patch, "ridge": RIDGE}
    write_json(args.out / "masking.json", {**about, "cells": cells})
    write_atomic(args.out / "masking.png", png_bytes(draw(cells)))
    print(json.dumps(about))
    print(table(cells))


if __name__ == "__main__":
    main()

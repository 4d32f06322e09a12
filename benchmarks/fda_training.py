"""Change of the importance map of Frequency Dynamic Augmentation (FDA) during training, for several variants.

    python benchmarks/fda_training.py --store data/processed/ptbxl --params ecgssl/profiles/ptbxl.yaml --steps 200 --out
    runs/fda

The script pretrains once per variant and evaluates FDA on validation recordings after every epoch. It records the
kept fraction of the spectrum, the correlation of a view with its recording, and the spread of the map. It writes
``fda.json``, ``curves.png`` (all variants) and ``map.png`` (the first variant during training), and prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ecgssl.config import Params, load_params
from ecgssl.evaluation.plots import COLOURS
from ecgssl.files import write_atomic, write_json
from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.diagnostics.fda_figures import augmentation_figures, draw_importance
from ecgssl.pretraining.loop import build_model, pretrain
from ecgssl.signal.figure_file import png_bytes
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch

VARIANTS: dict[str, list[str]] = {
    "budget of 0.5": [],
    "dynamic term": ["fda.dynamic=true"],
    "no budget": ["objective.budget_weight=0"],
    "L1 of weight 1": ["fda.budget=l1"],
}
FIGURES = {
    "fda_kept": "kept fraction of the band",
    "fda_correlation": "correlation with the recording",
    "fda_map_spread": "spread of the map",
}


class FdaMonitor:
    """Callback that evaluates FDA after every epoch, on the same recordings and with the same random numbers."""

    def __init__(self, store: Store, params: Params, count: int) -> None:
        self.store, self.shown = store, store.rows("val")[:count]
        self.params = params
        self.rows: list[dict[str, Any]] = []

    @torch.inference_mode()
    def __call__(self, model: CoReECG, step: int) -> dict[str, float]:
        """Return the FDA metrics of a model in eval mode, and append them to ``rows`` with the mean map."""
        fda, device = model.fda, next(model.parameters()).device
        batch = load_batch(self.store, self.shown, device)
        x, generator = batch.x, torch.Generator(device).manual_seed(0)
        figures = augmentation_figures(fda, x, batch.lead_mask, self.params.fda.temperature[1], generator)
        figures["fda_kept"] = float(fda.kept_fraction(x).mean())
        chance = fda.probability(fda.logits(), x.shape[-1])[0].mean(dim=0)
        self.rows.append({"step": step, **figures, "map": [round(float(v), 4) for v in chance]})
        return figures


def train(name: str, args: argparse.Namespace, store: Store) -> tuple[CoReECG, list[dict[str, Any]]]:
    """Train one variant and return the model and its FDA metrics before training and after every epoch."""
    size = args.batch_size
    params = load_params(
        args.params,
        [
            *args.set, *VARIANTS[name], f"pretrain.batch_size={size}", f"pretrain.samples={size * args.steps}",
            "pretrain.probe.every_epochs=1",
        ],
    )  # fmt: skip
    monitor = FdaMonitor(store, params, args.val)
    monitor(build_model(params).eval(), 0)
    folder = args.out / name.replace(" ", "-")
    result = pretrain(store, params, folder / "run", on_epoch=monitor)
    result.discard()
    monitor.rows[-1]["contrastive"] = result.history[-1]["contrastive"]
    return result.model, monitor.rows


def draw(found: dict[str, list[dict[str, Any]]]) -> Figure:
    """Return a figure with one panel per metric and one line per variant."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, len(FIGURES)), FIGURES.items(), strict=True):
        for colour, (name, rows) in zip(COLOURS, found.items(), strict=False):
            axes.plot([r["step"] for r in rows], [r[key] for r in rows], color=colour, marker="o", ms=3, label=name)
        axes.set(xlabel="Steps", title=label, ylim=(0, 0.5 if key == "fda_map_spread" else 1.02))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return a Markdown table of the last evaluation of every variant."""
    bands = [key for key in next(iter(found.values()))[0] if key.startswith("fda_kept_")]
    names = [key.removeprefix("fda_kept_").replace("_", " ") for key in bands]
    lines = [
        "| variant | steps | kept | " + " | ".join(names) + " | correlation | spread |",
        "|---" * (5 + len(bands)) + "|",
    ]
    for name, rows in found.items():
        last = rows[-1]
        values = [last["fda_kept"], *(last[key] for key in bands), last["fda_correlation"], last["fda_map_spread"]]
        lines.append(f"| {name} | {last['step']} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train all variants, draw the figures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--val", type=int, default=64, help="validation recordings to evaluate")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    store = Store(args.store)
    found: dict[str, list[dict[str, Any]]] = {}
    for number, name in enumerate(args.variants):
        model, rows = train(name, args, store)
        found[name] = rows
        if number == 0:
            earlier = [(f"step {r['step']}", np.array(r["map"], dtype=np.float32)) for r in rows[:-1]]
            write_atomic(args.out / "map.png", png_bytes(draw_importance(model.fda, store.spec.samples, earlier)))
        write_json(args.out / "fda.json", found)
        write_atomic(args.out / "curves.png", png_bytes(draw(found)))
        print(json.dumps({"variant": name, "contrastive": rows[-1]["contrastive"]}), flush=True)
    print(table(found))


if __name__ == "__main__":
    main()

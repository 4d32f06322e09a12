"""Ablation study of the pretraining method with equal compute, several seeds and several label fractions.

    python benchmarks/ablation.py run --store data/real --params ecgssl/profiles/ptbxl.yaml --out runs/ablation \
        --task superclass=NORM,MI,STTC,CD,HYP --task rhythm=rhythm_SR,rhythm_AFIB --seeds 3 --tflop 600
    python benchmarks/ablation.py run --store data/ptbxl --params ecgssl/profiles/ptbxl-tiny.yaml --out runs/ablation \
        --label-sets all diagnostic subclass superclass form rhythm --seeds 1 --minutes 10 --shares 0.01 0.1 1
    python benchmarks/ablation.py report --out runs/ablation                # validation
    python benchmarks/ablation.py report --out runs/ablation --split test   # once, after all choices are made

``run`` pretrains one encoder per cell, which is one row (variant of the method) and one seed, on the split ``train``. It
fits probes on the frozen embeddings and selects them on ``val``. An interrupted study resumes where it stopped, and
finished cells are kept. With ``--tflop``, all pretrained rows use the same number of floating-point operations, up to one
batch. The operations of a row are counted in one of its training steps (forward and backward). With ``--minutes``, all
pretrained rows use the same processor time of one thread. The time per recording is measured before the first cell, with
steps of all rows in turn, and is kept in ``OUT/costs.json``. A row without decoder therefore uses more recordings. Cells
are stored in ``OUT/cells``.

The probe is that of ``finetune.linear.solver``. A label that cannot be learned from a small share of the labels gets the
same output for all recordings, in all rows.

``OUT/results.parquet`` has one line per row, seed, task, label fraction and mode. Test metrics are computed only by
``report --split test``.

``report --out A B`` compares rows of several tuning runs: ``B`` is a study with the same rows and another parameter, such as
``--set pretrain.learning_rate=0.001``. Each row uses the folder with its best mean on validation.

``--full 1.0 0.1`` also fine-tunes the whole encoder at these label fractions. For the row ``random``, this is training
from scratch.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ablation_report import report
from study import require_same_settings
from torch.utils.flop_counter import FlopCounterMode

from ecgssl.config import Params, load_params
from ecgssl.datasets.enough_data import FIT, shortages
from ecgssl.files import atomic_directory, canonical_json, write_atomic
from ecgssl.finetuning.full import finetune_full, predict_logits
from ecgssl.finetuning.probe_head import probe_classifier
from ecgssl.finetuning.rows import label_fraction
from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.diagnostics.publish import assess_pretraining
from ecgssl.pretraining.loop import build_model, gate_temperature, pretrain
from ecgssl.probes.binary import Probe
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.selection import macro_auroc
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.checkpoint import RunState, load_weights, weight_bytes
from ecgssl.training.device import autocast, resolve_precision
from ecgssl.training.embed import embed_store

ROWS: dict[str, list[str] | None] = {
    "random": None,
    "reconstruction": ["objective.kind=reconstruction"],
    "contrastive": ["objective.kind=contrastive"],
    "contrastive, no FDA": ["objective.kind=contrastive", "fda.kind=none"],
    "core": [],
    "core, no FDA": ["fda.kind=none"],
    "core, jitter and scale": ["fda.kind=jitter_scale"],
    "core, random masking": ["stdm.kind=random"],
    "core, no lead masking": ["stdm.lead_ratio=0"],
    "core, einthoven": ["stdm.kind=einthoven"],
}
"""Parameter overrides of each row; ``None`` for the randomly initialised encoder."""


def flops(params: Params) -> float:
    """Return the floating-point operations of a training step per recording (matrix products, forward and backward)."""
    batch = 8
    model = build_model(params).train()
    x = torch.randn(batch, len(params.signal.leads), params.signal.samples)
    with FlopCounterMode(display=False) as counter:
        model(x, None, torch.arange(batch), 0, 1.0, torch.Generator().manual_seed(0))["loss"].backward()
    return counter.get_total_flops() / batch


def step_seconds(models: dict[str, tuple[CoReECG, Params]], store: Store, rounds: int = 8) -> dict[str, float]:
    """Return the CPU time in s of a training step per recording (without the optimiser) of each row.

    Each round has one step of every row in turn, so that changes of the machine affect all rows. The value is the median.
    """
    found: dict[str, list[float]] = {row: [] for row in models}
    for number in range(rounds):
        for row, (model, params) in models.items():
            batch = load_batch(store, store.rows("train")[: params.pretrain.batch_size], torch.device("cpu"))
            before = time.process_time()
            with autocast(torch.device("cpu"), resolve_precision(params.pretrain.precision, torch.device("cpu"))):
                terms = model(
                    batch.x, batch.lead_mask, None, number, 1.0, torch.Generator().manual_seed(number),
                    recorded=batch.recorded,
                )  # fmt: skip
            terms["loss"].backward()
            found[row].append((time.process_time() - before) / len(batch.x))
    return {row: float(np.median(times)) for row, times in found.items()}


def costs(args: argparse.Namespace, store: Store) -> dict[str, float]:
    """Return the CPU time in s per recording of all pretrained rows, measured once per study."""
    file: Path = args.out / "costs.json"
    if not file.exists():
        every = {row: load_params(args.params, [*args.set, *extra]) for row, extra in ROWS.items() if extra is not None}
        models = {row: (build_model(params).train(), params) for row, params in every.items()}
        write_atomic(file, canonical_json(step_seconds(models, store)))
    found: dict[str, float] = json.loads(file.read_text())
    return found


def parameters(args: argparse.Namespace, row: str, seed: int, seconds: dict[str, float]) -> tuple[Params, float]:
    """Return the parameters of a cell, with the number of samples that the budget allows, and the operations per recording."""
    overrides = [*args.set, *(ROWS[row] or []), f"seed={seed}"]
    params = load_params(args.params, overrides)
    cost = flops(params)
    if ROWS[row] is None:
        return params, cost
    affordable = args.tflop * 1e12 / cost if args.minutes is None else args.minutes * 60 / seconds[row]
    samples = max(round(affordable / params.pretrain.batch_size), 1) * params.pretrain.batch_size
    return load_params(args.params, [*overrides, f"pretrain.samples={samples}"]), cost


def probe_logits(
    embeddings: np.ndarray,
    values: np.ndarray,
    store: Store,
    params: Params,
    some: np.ndarray,
    look: np.ndarray,
    names: list[str],
) -> tuple[dict[str, np.ndarray], Probe | None]:
    """Return the outputs of a linear probe for all validation and test recordings, and the probe of all labels.

    Labels that cannot be learned from the training rows ``some`` have output 0; the probe is then ``None``.
    """
    short = {name for name, _ in shortages("multilabel", names, values[some], store.patients[some], FIT)}
    kept = [k for k, name in enumerate(names) if name not in short]
    fit = probe_for("multilabel", params.finetune.linear, (len(some), embeddings.shape[1]))
    probe = fit(
        embeddings[some], values[np.ix_(some, kept)], embeddings[look], values[np.ix_(look, kept)], params.finetune.linear,
        names=[names[k] for k in kept], groups=store.patients[some], seed=params.seed,
    )  # fmt: skip
    found = {}
    for split in ("val", "test"):
        found[split] = np.zeros((len(store.rows(split)), len(names)))
        found[split][:, kept] = probe.logits(embeddings[store.rows(split)])
    return found, None if short else probe


def trained(cell: Path, store: Store, params: Params, row: str) -> tuple[CoReECG, dict[str, float]]:
    """Return the model of a cell (untrained in row ``random``) and its metrics. A finished cell is loaded from its folder."""
    weights, figures = cell / "model.safetensors", cell / "pretrain.json"
    model = build_model(params)
    if figures.exists():
        load_weights(model, weights)
        return model.eval(), json.loads(figures.read_text())
    found: dict[str, float] = {}
    if ROWS[row] is not None:
        before = time.process_time()
        result = pretrain(store, params, cell / "run")
        model = result.model
        found = {"seconds": result.seconds, "cpu_seconds": time.process_time() - before, "seen": float(result.seen)}
        write_atomic(cell / "losses.csv", pd.DataFrame(result.history).to_csv(index=False))
        found |= assess_pretraining(model, store, store.rows("val"), gate_temperature(params, 1.0), 0)
    write_atomic(weights, weight_bytes(model))
    write_atomic(figures, canonical_json(found))
    if ROWS[row] is not None:
        result.discard()
    return model.eval(), found


def evaluate_cell(
    cell: Path, model: CoReECG, store: Store, params: Params, tasks: dict[str, list[str]], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Fit the probes and fine-tuned models of a cell, and return their validation metrics.

    The logits of the validation and test recordings are saved for the report.
    """
    embeddings = embed_store(model.encoder, store, np.arange(len(store)), show_progress=False)
    train, val, test = (store.rows(name) for name in ("train", "val", "test"))
    lines: list[dict[str, Any]] = []
    kept: dict[str, np.ndarray] = {}
    for task, targets in tasks.items():
        values = store.index[targets].to_numpy(dtype=np.float64)
        labelled = {name: rows[~np.isnan(values[rows]).all(axis=1)] for name, rows in (("train", train), ("val", val))}
        for share in args.shares:
            chosen = label_fraction(values[labelled["train"]], store.patients[labelled["train"]], share, params.seed)
            some, look = labelled["train"][chosen], labelled["val"]
            linear, probe = probe_logits(embeddings, values, store, params, some, look, targets)
            scored = {"linear": linear}
            if share in args.full and probe is not None:
                folder = cell / f"full-{task}-{share:g}"
                config = {"cell": cell.name, "share": share, "task": task}
                result = finetune_full(
                    probe_classifier(model.encoder, probe), store, values, params.finetune.full, params.seed, macro_auroc,
                    folder, config, train=some, val=look,
                )  # fmt: skip
                scored["full"] = {n: predict_logits(result.model, store, r) for n, r in (("val", val), ("test", test))}
                RunState(folder, config).discard()
            for mode, logits in scored.items():
                kept |= {f"{task}/{share:g}/{mode}/{split}": found for split, found in logits.items()}
                reached = macro_auroc(values[val], logits["val"])
                lines.append({"task": task, "share": share, "mode": mode, "labelled": len(some), "val_auroc": reached})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    write_atomic(cell / "logits.npz", buffer.getvalue())
    return lines


def run(args: argparse.Namespace) -> None:
    """Compute all missing cells, one seed after the other, so that all rows of an unfinished table have the same seeds."""
    store = Store(args.store)
    tasks = {name: targets.split(",") for name, targets in (item.split("=", 1) for item in args.task)}
    tasks |= {name: [t for t in store.targets if t.startswith(f"{name}.")] for name in args.label_sets}
    asked = {
        "params": load_params(args.params, args.set).model_dump(mode="json", exclude={"sets", "tracking", "tasks"}),
        "store": store.about["index_sha256"], "tasks": tasks, "tflop": args.tflop,
        "minutes": args.minutes, "shares": args.shares, "full": args.full,
    }  # fmt: skip
    require_same_settings(args.out / "run.json", asked)
    with atomic_directory(args.out / "truth") as folder:
        index = store.index[["split", *{t: None for targets in tasks.values() for t in targets}]]
        index.assign(patient=store.patients).to_parquet(folder / "truth.parquet")
    table = args.out / "results.parquet"
    rows = args.rows.split(";") if args.rows else list(ROWS)
    seconds = {} if args.minutes is None else costs(args, store)
    for seed in range(args.seeds):
        for row in rows:
            cell = args.out / "cells" / f"{row.replace(',', '').replace(' ', '-')}-{seed}"
            if (cell / "logits.npz").exists():
                continue
            params, cost = parameters(args, row, seed, seconds)
            model, figures = trained(cell, store, params, row)
            lines = evaluate_cell(cell, model, store, params, tasks, args)
            shown = {"row": row, "seed": seed, "cell": cell.name, "flop_per_recording": cost}
            added = pd.DataFrame([{**shown, **line, **figures} for line in lines])
            whole = pd.concat([pd.read_parquet(table), added]) if table.exists() else added
            buffer = io.BytesIO()
            whole.to_parquet(buffer, index=False)
            write_atomic(table, buffer.getvalue())
            print(
                json.dumps({k: v for k, v in shown.items() if k != "cell"} | {"val": lines[-1]["val_auroc"]}),
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("run", help="compute the missing cells")
    make.add_argument("--store", type=Path, required=True)
    make.add_argument("--params", type=Path, required=True)
    make.add_argument("--task", action="append", default=[], metavar="NAME=TARGET,TARGET")
    make.add_argument("--label-sets", nargs="+", default=[], help="label sets of PTB-XL in the store, each one a task")
    make.add_argument("--seeds", type=int, default=3)
    make.add_argument("--rows", help="rows to run, separated by ';' (default: all)")
    budget = make.add_mutually_exclusive_group(required=True)
    budget.add_argument("--tflop", type=float, help="pretraining operations per cell, in 10^12")
    budget.add_argument(
        "--minutes", type=float, help="processor time of pretraining per cell, in minutes of one thread"
    )
    make.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1, 1.0])
    make.add_argument("--full", type=float, nargs="*", default=[])
    make.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    show = verbs.add_parser("report", help="print tables, write figures")
    show.add_argument("--split", choices=("val", "test"), default="val")
    show.add_argument("--against", default="core", help="reference row for the differences")
    make.add_argument("--out", type=Path, required=True)
    show.add_argument("--out", type=Path, nargs="+", required=True, help="with several, the best on validation per row")
    args = parser.parse_args()
    if args.verb == "run":
        if args.minutes is not None:
            torch.set_num_threads(1)
        run(args)
    else:
        print(report(args.out, args.split, args.against))


if __name__ == "__main__":
    main()

"""Time to quality: processor minutes until a linear probe reaches a macro AUROC on the validation split.

    python benchmarks/time_to_quality.py --params ecgssl/profiles/ptbxl.yaml --set sets.ptbxl.root=FOLDER --out runs/time

The clock starts with the raw recordings and random weights. It counts preprocessing, pretraining until the checkpoint,
embedding of the training and validation recordings, and the fit of the ridge probe, whose strength is chosen on
validation. All times are CPU times of one thread. Not counted are: starting Python, compiling MiniRocket, reading the
labels, and the probes of earlier checkpoints, because a user needs only one probe.

Each ``--method NAME=OVERRIDE;OVERRIDE`` is one pretraining run of ``ecgssl.pretraining.loop.pretrain`` with these changes
of the parameters. It is probed before the first step and after every ``pretrain.probe.every_epochs`` epochs. The learning
rate follows the schedule of the whole run (``pretrain.samples``), so points before the end are not those of shorter runs.
``finetune.linear.precision`` is the precision of the embeddings.
``minirocket`` is MiniRocket (extra ``bench``) with each number of features of ``--kernels``.

The split ``test`` is not used. A run that was stopped resumes, and its clock continues at its last checkpoint. Finished
methods are kept. ``OUT/NAME.json`` has the curve and the minutes to each threshold.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from minirocket import KERNELS, minirocket_features
from numpy.typing import NDArray
from study import described_run, require_same_settings
from threadpoolctl import threadpool_limits

from ecgssl.config import Params, load_one_set, load_params
from ecgssl.datasets.load import load_set
from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, write_atomic
from ecgssl.finetuning.rows import choose_rows
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.model.core_ecg import CoReECG
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.pretraining.loop import build_model, pretrain
from ecgssl.probes.ridge_classifier import fit_ridge_classifier
from ecgssl.probes.selection import macro_auroc
from ecgssl.store.choose_key import choose_key
from ecgssl.store.store import Store
from ecgssl.training.embed import embed_store

OBJECTIVES = ("core", "contrastive", "reconstruction")
MINIROCKET = "minirocket"
Curve = list[dict[str, float]]
Precision = Literal["auto", "bf16", "fp32"]


class Probe:
    """Linear probe of a task on the training and validation recordings of a store.

    Args:
        store: store with the targets.
        targets: names of the targets.
        precision: precision of the embeddings of training recordings; those of validation have fp32, as in ``finetune``.
    """

    def __init__(self, store: Store, targets: Sequence[str], precision: Precision = "fp32") -> None:
        task = resolve_task(store, targets)
        if task.kind != "multilabel":
            raise InputError(Problem("task", "targets", f"are {task.kind}", "Choose a task with binary targets"))
        values = task_values(store, task)
        chosen = choose_rows(store, values)
        self.store, self.names, self.precision = store, task.outputs, precision
        self.rows = np.concatenate([chosen.train, chosen.val])
        self.values = values[self.rows]
        self.train = np.arange(len(chosen.train))
        self.val = np.arange(len(chosen.train), len(self.rows))

    def of_encoder(self, model: CoReECG) -> dict[str, float]:
        """Return the point of a model: validation AUROC, and the CPU times of embedding and probe in s."""
        before = time.process_time()
        embeddings = np.concatenate([
            embed_store(model.encoder, self.store, self.rows[part], precision=precision, show_progress=False)
            for part, precision in ((self.train, self.precision), (self.val, "fp32"))
        ])  # fmt: skip
        return {"embed_seconds": time.process_time() - before, **self.of_features(embeddings)}

    def of_features(self, features: NDArray[np.float32]) -> dict[str, float]:
        """Return the point of features (len(rows), E): validation AUROC, chosen strength and CPU time of the probe in s."""
        before = time.process_time()
        probe = fit_ridge_classifier(features, self.values, self.train, self.val, names=self.names)
        auroc = macro_auroc(self.values[self.val], probe.logits(features[self.val]))
        width = features.shape[1]
        return {
            "probe_seconds": time.process_time() - before, "auroc": auroc, "features": width,
            "strength": 1 / (probe.C[0] * width),
        }  # fmt: skip


class Clock:
    """CPU time of a pretraining run that may be stopped and resumed.

    Args:
        file: file with one line ``step,seconds`` per logged step.
        checkpoints: folder of the checkpoints; the clock continues at the newest one.
    """

    def __init__(self, file: Path, checkpoints: Path) -> None:
        self.file = file
        step = max((int(path.stem.partition("-")[2]) for path in checkpoints.glob("step-*.pt")), default=0)
        lines = [line.split(",") for line in file.read_text().splitlines()] if file.exists() else []
        kept = [(int(number), float(seconds)) for number, seconds in lines if int(number) <= step]
        last, seconds = kept[-1] if kept else (0, 0.0)
        # steps between the last logged step and the checkpoint took as long as those before
        self.before = seconds * (step / last if last else 1.0)
        self.not_counted = 0.0
        self.start = time.process_time()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, "".join(f"{number},{seconds}\n" for number, seconds in kept))

    def seconds(self) -> float:
        """Return the CPU time of pretraining until now, without probes."""
        return self.before + time.process_time() - self.start - self.not_counted

    def log(self, row: dict[str, float]) -> None:
        """Add a line for a logged step."""
        with self.file.open("a") as stream:
            stream.write(f"{int(row['step'])},{self.seconds()}\n")


def pretrained_curve(probe: Probe, params: Params, folder: Path, *, start_only: bool = False) -> Curve:
    """Return the points of a pretraining run, in order, with the CPU time of pretraining until each of them.

    With ``start_only``, nothing is trained: the only point is that of the random weights.
    """
    start = folder / "start.json"
    if not start.exists():
        write_atomic(start, canonical_json(probe.of_encoder(build_model(params).eval()), digits=None))
    first = {"step": 0, "samples": 0, "pretrain_seconds": 0.0, **json.loads(start.read_text())}
    if start_only:
        return [first]
    checkpoints = folder / "run"
    clock = Clock(folder / "clock.csv", checkpoints)

    def on_epoch(model: CoReECG, step: int) -> dict[str, float]:
        reached, before = clock.seconds(), time.process_time()
        point = probe.of_encoder(model)
        clock.not_counted += time.process_time() - before
        return {"pretrain_seconds": reached, **point}

    result = pretrain(probe.store, params, checkpoints, on_log=clock.log, on_epoch=on_epoch, show_progress=False)
    curve = [first, *({k: v for k, v in row.items() if k not in ("collapsed", "epoch")} for row in result.epochs)]
    result.discard()
    return curve


def minirocket_curve(probe: Probe, kernels: Sequence[int], folder: Path) -> Curve:
    """Return one point per number of features. MiniRocket is computed for the training and validation recordings only."""
    curve = []
    for count in kernels:
        file = folder / f"features-{count}.npy"
        features, seconds = minirocket_features(probe.store, file, rows=probe.rows, kernels=count)
        curve.append({"transform_seconds": seconds, **probe.of_features(features)})
    return curve


def with_minutes(curve: Curve, preprocess_seconds: float) -> Curve:
    """Add the minutes of preprocessing, training, features and probe to each point."""
    return [
        {"minutes": (preprocess_seconds + sum(v for k, v in point.items() if k.endswith("_seconds"))) / 60, **point}
        for point in curve
    ]


def minutes_to(curve: Curve, threshold: float, *, interpolate: bool) -> float | None:
    """Return the minutes at which a curve first reaches an AUROC; ``None`` if it does not reach it.

    Args:
        curve: points with ``minutes`` and ``auroc``.
        threshold: macro AUROC.
        interpolate: interpolate linearly between the first point that reaches the threshold and the point before it.
            Without it, or at the first point of the curve, these are the minutes of the point.
    """
    ordered = sorted(curve, key=lambda point: point["minutes"])
    for number, point in enumerate(ordered):
        if point["auroc"] >= threshold:
            if not interpolate or number == 0:
                return point["minutes"]
            before = ordered[number - 1]
            share = (threshold - before["auroc"]) / (point["auroc"] - before["auroc"])
            return before["minutes"] + share * (point["minutes"] - before["minutes"])
    return None


def prepared(args: argparse.Namespace, params: Params) -> tuple[Store, float]:
    """Return the store and the CPU time in s of its preprocessing, which is done once per output folder."""
    if args.store is not None:
        return Store(args.store), 60 * args.preprocess_minutes
    file, folder = args.out / "preprocess.json", args.out / "store"
    if not file.exists():
        chosen = load_one_set(args.params, [*args.set, "store.workers=1"], dataset=args.dataset)
        cohort = load_set(chosen)
        before = time.process_time()
        key = choose_key(chosen.data, params.seed, folder)
        report = preprocess(cohort, chosen.params, folder, key, overlap=chosen.data.overlap, progress=False)
        seconds = time.process_time() - before
        # the time of shards that an interrupted run has written is unknown; they took as long as the others
        seconds *= report.counted / max(report.counted - report.resumed, 1)
        write_atomic(file, canonical_json({"seconds": seconds, "resumed": report.resumed, "stored": report.stored}))
    return Store(folder), json.loads(file.read_text())["seconds"]


def measure(name: str, overrides: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Return the result of a method, from its file if it is finished.

    Raises:
        InputError: the folder has a run of this method with other parameters.
    """
    file, folder = args.out / f"{name}.json", args.out / name
    params = load_params(args.params, [*args.set, *overrides])
    store, seconds = prepared(args, params)
    settings: dict[str, Any] = {"kernels": args.kernels}
    precision = params.finetune.linear.precision
    if name != MINIROCKET:
        settings = params.model_dump(mode="json", include={"seed", "model", "fda", "stdm", "objective", "pretrain"})
        settings |= {"embeddings": precision, "start_only": args.start_only}
    settings |= {"task": params.tasks[args.task].model_dump(mode="json"), "store": store.about["index_sha256"]}
    require_same_settings(folder / "settings.json", settings)
    if file.exists():
        return json.loads(file.read_text())
    probe = Probe(store, params.tasks[args.task].targets, precision)
    if name == MINIROCKET:
        curve = minirocket_curve(probe, args.kernels, folder)
    else:
        curve = pretrained_curve(probe, params, folder, start_only=args.start_only)
    curve = with_minutes(curve, seconds)
    reached = {f"{t:g}": minutes_to(curve, t, interpolate=name != MINIROCKET) for t in args.thresholds}
    found = {
        "method": name, "task": args.task, "minutes_to": reached, "preprocess_minutes": seconds / 60, "curve": curve,
        "recordings": {"train": len(probe.train), "val": len(probe.val)}, "settings": settings, **described_run(args.argv),
    }  # fmt: skip
    write_atomic(file, canonical_json(found))
    return found


def main(argv: list[str] | None = None) -> None:
    """Measure every method and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--dataset", help="set of the parameters; needed if they have several")
    parser.add_argument("--task", default="superclass", help="task of the parameters")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--store", type=Path, help="existing store, with --preprocess-minutes")
    parser.add_argument("--preprocess-minutes", type=float, help="CPU time that --store took on the same machine")
    parser.add_argument("--method", action="append", metavar="NAME=OVERRIDE;OVERRIDE", help="default: all")
    parser.add_argument("--start-only", action="store_true", help="only random weights: no pretraining")
    parser.add_argument("--kernels", type=int, nargs="+", default=[2520, KERNELS])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.88, 0.90])
    args = parser.parse_args(argv)
    args.argv = argv
    if (args.store is None) != (args.preprocess_minutes is None):
        parser.error("--store and --preprocess-minutes must be given together")
    torch.set_num_threads(1)
    methods = [text.partition("=") for text in args.method or [*OBJECTIVES, MINIROCKET]]
    with threadpool_limits(1):
        for name, _, text in methods:
            overrides = [item for item in text.split(";") if item]
            if name in OBJECTIVES:
                overrides = [f"objective.kind={name}", *overrides]
            found = measure(name, overrides, args)
            print(json.dumps({k: v for k, v in found.items() if k != "settings"}, indent=1), flush=True)


if __name__ == "__main__":
    main()

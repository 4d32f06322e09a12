"""Results on PTB-XL's six label sets with the folds of the benchmark: 1 to 8 train, 9 validation, 10 test.

    python benchmarks/ptbxl_results.py run --store STORE --params ecgssl/profiles/ptbxl.yaml --out runs/results \
        --encoder tiny=FOLDER --row random --row minirocket --row clinical --row linear:tiny --row full:tiny --row scratch:tiny
    python benchmarks/ptbxl_results.py report --out runs/results                 # fold 9
    python benchmarks/ptbxl_results.py report --out runs/results --split test    # fold 10; adds lines to the log
    python benchmarks/ptbxl_results.py details --out runs/results --row full:tiny --labels superclass --split test
    python benchmarks/ptbxl_results.py log                                       # the log as a table in docs/results.md

``run`` computes one cell per row, label set, share of the labels, draw of patients and lead set. Finished cells are kept, so
the same command resumes. A cell has the file ``OUT/cells/NAME.json`` and the outputs for folds 9 and 10 in
``OUT/cells/NAME/logits.npz``. All choices are made on fold 9. Metrics on fold 10 are computed only by ``--split test``; each
such command adds its figures to the log (``--log``) before it prints them.

Rows: ``random`` (randomly initialised encoder), ``minirocket``, ``linear:NAME`` (encoder of ``--encoder NAME=FOLDER``): ridge
probe of ``ecgssl.probes.ridge_classifier``. ``clinical``: clinical baseline. ``mlp:NAME``: nonlinear probe
(``ecgssl.finetuning.mlp``) on the features of an encoder, ``random``, ``minirocket`` or ``clinical``. ``attentive:NAME``,
``full:NAME`` and ``scratch:NAME``: ``ecgssl.finetuning.finetune`` with section ``finetune`` of the parameters; ``scratch``
uses only the architecture of the encoder. ``convnet``: supervised ResNet-18 on the same signals (``convnet.py``, needs
MONAI).

The store must have the targets of the label sets: ``sets.NAME.labels: [all, diagnostic, subclass, superclass, form, rhythm]``.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from convnet import outputs_of_network, train_convnet
from minirocket import KERNELS, minirocket_features
from numpy.typing import NDArray
from ptbxl_report import LOG, PAGE, details, report, write_log_table
from study import described_run, require_same_settings
from threadpoolctl import threadpool_limits

from ecgssl.config import Params, load_params
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.predictions import outputs_of
from ecgssl.files import canonical_json, write_atomic
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline, fit_baseline
from ecgssl.finetuning.clinical_network import with_network
from ecgssl.finetuning.embeddings import cached_embeddings
from ecgssl.finetuning.finetune import finetune, random_encoder
from ecgssl.finetuning.mlp import finetune_mlp
from ecgssl.finetuning.probe_head import head_of
from ecgssl.finetuning.rows import ChosenRows, choose_rows, lead_subset, share_of
from ecgssl.finetuning.task import Task, resolve_task, task_values
from ecgssl.probes.logistic_correction import correct_ridge
from ecgssl.probes.ridge_classifier import fit_ridge_classifier
from ecgssl.probes.ridge_logits import fit_ridge_logits
from ecgssl.probes.selection import macro_auroc
from ecgssl.signal.lead_sets import LEAD_SETS, shown_leads
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import discard_run, load_encoder

LABEL_SETS = ("all", "diagnostic", "subclass", "superclass", "form", "rhythm")
WHOLE = "12lead"
PROBED = ("random", "minirocket", "linear")
NO_ENCODER = ("random", "minirocket", "clinical")
TRAINED = ("attentive", "full", "scratch")
ROWS = (*PROBED, "clinical", "mlp", "convnet", *TRAINED)
Logits = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Cell:
    """One cell of the table: row, label set, share of the training patients, number of the draw, and lead set."""

    row: str
    labels: str
    share: float
    draw: int
    leads: str

    @property
    def name(self) -> str:
        """Name of the files of the cell."""
        return f"{self.row.replace(':', '-')}-{self.labels}-{self.share:g}-{self.draw}-{self.leads}"


def cells_of(args: argparse.Namespace) -> Iterator[Cell]:
    """Yield all cells: all labels and leads first, then smaller shares, then fewer leads."""
    settings = [(WHOLE, share) for share in sorted(args.shares, reverse=True)]
    settings += [(leads, 1.0) for leads in args.leads if leads != WHOLE]
    for leads, share in settings:
        for draw in range(args.draws if share < 1 else 1):
            for row in args.row:
                for labels in args.labels:
                    yield Cell(row, labels, share, draw, leads)


class Study:
    """Store, encoders and parameters of a study, and the computation of its cells.

    Args:
        store: store with the targets of the label sets.
        params: parameters; ``model``, ``finetune`` and ``seed`` are used.
        encoders: folder or name of each encoder.
        out: folder of the study.
        kernels: number of features of MiniRocket.
    """

    def __init__(self, store: Store, params: Params, encoders: dict[str, str], out: Path, kernels: int) -> None:
        self.store, self.params, self.encoders, self.out, self.kernels = store, params, encoders, out, kernels

    def compute(self, cell: Cell) -> tuple[Logits, dict[str, Any]]:
        """Return the outputs of a cell for folds 9 and 10 with their rows of the store, and what was chosen on fold 9.

        Raises:
            InputError: a label has too few recordings in this share of the labels.
        """
        store = self.store
        targets = targets_of(store, cell.labels)
        task = resolve_task(store, targets, cell.labels)
        values = task_values(store, task)
        leads = shown_leads(LEAD_SETS[cell.leads], store.spec.leads)
        seen = lead_subset(store, leads)
        chosen = choose_rows(store, values, seen)
        train = share_of(store, values, chosen.train, cell.share, self.params.seed + cell.draw)
        kind, _, encoder = cell.row.partition(":")
        found: Logits = {"val_rows": chosen.val, "test_rows": chosen.test}
        both = (("val", chosen.val), ("test", chosen.test))
        if kind in PROBED:
            features = self.features(kind, encoder, seen, cell.leads)
            probe = fit_ridge_classifier(features, values, train, chosen.val, names=task.outputs)
            if ratios := self.params.finetune.linear.corrections:
                probe = correct_ridge(probe, features, values, train, chosen.val, ratios)
            found |= {split: probe.logits(features[rows]) for split, rows in both}
            choices: dict[str, Any] = {"features": features.shape[1], "C": probe.C[0], "rule": probe.chosen_by[0]}
            choices["correction"] = probe.correction
        elif kind == "mlp":
            outputs, choices = self.nonlinear(cell, task, values, replace(chosen, train=train), seen)
            found |= {"val": outputs[: len(chosen.val)], "test": outputs[len(chosen.val) :]}
        elif kind == "convnet":
            folder = self.out / "work" / cell.name
            network, choices = train_convnet(
                store, values, train, chosen.val, folder, self.params.seed + cell.draw, seen
            )
            found |= {split: outputs_of_network(network, store, rows, seen) for split, rows in both}
            discard_run(folder)
        else:
            if kind == "clinical":
                baseline, outputs = self.clinical(task, values, replace(chosen, train=train), seen)
                choices = baseline.about()
            else:
                rows = {"train": train, "val": chosen.val, "test": chosen.test}
                # the clinical baseline is a row of the table
                alone = self.params.finetune.model_copy(update={"clinical_baseline": False})
                result = finetune(
                    store, self.encoders[encoder], targets, kind, alone, self.params.seed, self.out / "work",
                    leads=None if seen is None else leads, rows=rows, show_progress=False,
                )  # fmt: skip
                outputs = outputs_of(
                    result.predictions[result.predictions["model"] == kind], task.outputs, "multilabel"
                )
                choices = {k: v for k, v in result.choices.items() if k in ("epoch", "rows")}
            found |= {"val": outputs[: len(chosen.val)], "test": outputs[len(chosen.val) :]}
        about = {"val_auroc": macro_auroc(values[chosen.val], found["val"]), "labelled": len(train), "choices": choices}
        return found, about

    def features(self, kind: str, encoder: str, seen: NDArray[np.bool_] | None, leads: str) -> NDArray[np.float32]:
        """Return the features (len(store), E) of a row. They are computed once per lead set and kept in the folder."""
        if kind == "minirocket":
            file = self.out / "features" / f"minirocket-{leads}.npy"
            return minirocket_features(self.store, file, kernels=self.kernels, leads=seen)[0]
        if kind == "random":
            model = random_encoder(self.params.model, self.store, self.params.seed)
        else:
            model = load_encoder(self.encoders[encoder], self.store.spec, str(self.store.path))[0]
        rows = np.arange(len(self.store))
        return cached_embeddings(model, self.store, rows, self.out / "work" / "embeddings", seen, show_progress=False)

    def clinical(
        self, task: Task, values: NDArray[np.float64], rows: ChosenRows, seen: NDArray[np.bool_] | None
    ) -> tuple[ClinicalBaseline, NDArray[np.float64]]:
        """Return the clinical baseline and its outputs for the validation and test recordings."""
        return fit_baseline(
            self.store, task, values, rows, self.params.finetune.linear, self.params.seed, self.out / "features", seen,
            show_progress=False,
        )  # fmt: skip

    def nonlinear(
        self, cell: Cell, task: Task, values: NDArray[np.float64], rows: ChosenRows, seen: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the outputs of a nonlinear probe for the validation and test recordings, and its choices."""
        name, params, seed = cell.row.partition(":")[2], self.params.finetune, self.params.seed + cell.draw
        folder, config = self.out / "work" / cell.name, {"cell": cell.name}
        if name == "clinical":
            baseline, _ = self.clinical(task, values, rows, seen)
            baseline, outputs, epoch = with_network(
                baseline, self.store, values, rows, params.mlp, seed, self.out / "features", folder, config, seen,
                show_progress=False,
            )  # fmt: skip
            discard_run(folder)
            return outputs, {**baseline.about(), "epoch": epoch}
        features = self.features(name if name in NO_ENCODER else "linear", name, seen, cell.leads)
        learned, held_out = features[rows.train], features[np.concatenate([rows.val, rows.test])]
        probe = fit_ridge_logits(
            learned, values[rows.train], held_out[: len(rows.val)], values[rows.val], params.linear,
            names=task.outputs, groups=self.store.patients[rows.train],
        )  # fmt: skip
        result = finetune_mlp(
            head_of(probe), "multilabel", learned, values[rows.train], held_out[: len(rows.val)], values[rows.val],
            params.mlp, seed, macro_auroc, folder, config, show_progress=False,
        )  # fmt: skip
        discard_run(folder)
        with torch.inference_mode():
            outputs = result.head(torch.from_numpy(held_out)).double().numpy()
        return outputs, {"features": learned.shape[1], "epoch": result.best_epoch, "C": probe.C[0]}


def targets_of(store: Store, labels: str) -> list[str]:
    """Return the targets of a label set, which are named ``LABELS.TARGET`` in the store.

    Raises:
        InputError: the store has no such target.
    """
    found = [target for target in store.targets if target.startswith(f"{labels}.")]
    if not found:
        remedy = f"Preprocess PTB-XL with sets.NAME.labels: [{', '.join(LABEL_SETS)}]"
        raise InputError(Problem(str(store.path), labels, "is not a label set of this store", remedy))
    return found


def run(args: argparse.Namespace) -> None:
    """Compute the missing cells. A cell whose labels cannot be learned is written with the reason."""
    store, params = Store(args.store), load_params(args.params, args.set)
    encoders = dict(item.split("=", 1) for item in args.encoder)
    _require_rows(args.row, encoders)
    for labels in args.labels:
        targets_of(store, labels)
    settings = params.model_dump(mode="json", include={"seed", "model", "finetune"})
    require_same_settings(
        args.out / "run.json", {**settings, "store": store.about["index_sha256"], "kernels": args.kernels}
    )
    index = store.index.drop(columns=["waveform_hash"], errors="ignore")
    write_atomic(args.out / "truth.parquet", index.to_parquet())
    study = Study(store, params, encoders, args.out, args.kernels)
    for cell in cells_of(args):
        file = args.out / "cells" / f"{cell.name}.json"
        if file.exists():
            continue
        before = time.process_time()
        about: dict[str, Any] = {**asdict(cell), "encoder": encoders.get(cell.row.partition(":")[2])}
        try:
            logits, found = study.compute(cell)
        except InputError as error:
            about["not_fitted"] = str(error)
        else:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **logits)
            write_atomic(file.with_suffix("") / "logits.npz", buffer.getvalue())
            about |= found
        about |= {"cpu_seconds": time.process_time() - before, **described_run(args.argv)}
        write_atomic(file, canonical_json(about))
        print(
            json.dumps({k: about.get(k) for k in ("row", "labels", "share", "draw", "leads", "val_auroc")}), flush=True
        )


def _require_rows(rows: list[str], encoders: dict[str, str]) -> None:
    problems = []
    for row in rows:
        kind, _, encoder = row.partition(":")
        if kind not in ROWS:
            problems.append(Problem("--row", row, "is unknown", f"Use one of {', '.join(ROWS)}"))
        elif kind == "mlp" and encoder in NO_ENCODER:
            continue
        elif kind in ("linear", "mlp", *TRAINED) and encoder not in encoders:
            problems.append(Problem("--row", row, "has no encoder", f"Use {kind}:NAME with --encoder NAME=FOLDER"))
    if problems:
        raise InputError(problems)


def main(argv: list[str] | None = None) -> None:
    """Run one of the commands of the module's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("run", help="compute the missing cells")
    make.add_argument("--store", type=Path, required=True)
    make.add_argument("--params", type=Path, required=True)
    make.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    make.add_argument("--row", action="append", required=True, help=", ".join(ROWS))
    make.add_argument("--encoder", action="append", default=[], metavar="NAME=FOLDER")
    make.add_argument("--labels", nargs="+", default=list(LABEL_SETS))
    make.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.1, 0.05, 0.01])
    make.add_argument("--draws", type=int, default=3, help="draws of patients of each share below 1")
    make.add_argument("--leads", nargs="+", default=["12lead", "6lead", "3lead", "2lead", "1lead"])
    make.add_argument("--kernels", type=int, default=KERNELS)
    show = verbs.add_parser("report", help="print tables of macro AUROC")
    show.add_argument("--against", help="reference row of the differences in the CSV file")
    more = verbs.add_parser("details", help="AUPRC, calibration and subgroups of one row")
    more.add_argument("--row", required=True)
    more.add_argument("--labels", default="superclass")
    for verb in (show, more):
        verb.add_argument("--split", choices=("val", "test"), default="val")
        verb.add_argument("--log", type=Path, default=LOG, help="log of all scorings of fold 10")
    for verb in (make, show, more):
        verb.add_argument("--out", type=Path, required=True)
    table = verbs.add_parser("log", help="write the log of fold 10 into docs/results.md")
    table.add_argument("--log", type=Path, default=LOG)
    table.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    args.argv = argv
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if args.verb == "run":
            run(args)
        elif args.verb == "report":
            print(report(args.out, args.split, args.against, args.log, described_run(argv)))
        elif args.verb == "details":
            print(details(args.out, args.row, args.labels, args.split, args.log, described_run(argv)))
        else:
            write_log_table(args.log, args.page)


if __name__ == "__main__":
    main()

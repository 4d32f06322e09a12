"""Store with identifying names, and untrained runs for each kind of task, for tests of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from store_cohort import KEY, beats, params
from wfdb_files import write_record

from ecgssl.config import EvaluateParams, ModelParams
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import prediction_table, write_predictions
from ecgssl.files import write_json
from ecgssl.finetuning.task import Task, resolve_task, task_values
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import save_model

SECRETS = ("MRN-4711", "HOLTER-", "ward-seven")
TARGETS = """targets:
  af: {kind: binary}
  lvh: {kind: binary}
  rhythm: {kind: multiclass, classes: [sinus, af, paced]}
  lvef: {kind: regression, unit: "%"}
"""
FAST = EvaluateParams(bootstrap=100, subgroups=["sex", "site"])


TASKS = {"findings": ["af", "lvh"], "classes": ["rhythm"], "numbers": ["lvef"]}
"""Targets of the runs of the fixture ``made``."""


def make_store(folder: Path, count: int = 96) -> Store:
    """Return a store of one recording per patient in three splits, with identifying names.

    Two recordings are too short. Some of the simulated recordings are similar, so the overlap policy is ``warn``.
    """
    place = folder / "ward-seven"
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        name = f"HOLTER-{number:03d}"
        write_record(place, name, beats(number, seconds=4 if number in (0, 3) else 10), LEADS, rate=250)
        rows.append(
            {
                "record_id": name,
                "path": name,
                "patient_id": f"MRN-4711-{number}",
                "split": ("train", "val", "test")[number % 3],
                "sex": "female" if number % 2 else "male",
                "age": 30 + number % 60,
                "site": "north" if number % 5 else "south",
                "af": int(rng.integers(2)) if number % 11 else "",
                "lvh": number // 3 % 2,
                "rhythm": ("sinus", "af", "paced")[int(rng.integers(3))],
                "lvef": round(float(rng.normal(55, 10)), 1),
            }
        )
    pd.DataFrame(rows).to_csv(place / "m.csv", index=False)
    (place / "targets.yaml").write_text(TARGETS)
    cohort = load_manifest(place / "m.csv", targets_file=place / "targets.yaml")
    preprocess(cohort, params(), folder / "store", KEY, overlap="warn", progress=False)
    return Store(folder / "store")


def make_run(
    store: Store, folder: Path, targets: list[str], seed: int = 0, old: bool = False, folded: bool = False
) -> Path:
    """Write a run with an untrained model and predictions correlated with the targets.

    Args:
        store: store of ``make_store``.
        folder: folder of the run.
        targets: targets of one kind.
        seed: seed of weights and predictions.
        old: whether to write the evaluation of an older version, without decisions.
        folded: whether to score all recordings by cross-validation, with leads I, II and V2 recorded.
    """
    task = resolve_task(store, targets)
    torch.manual_seed(seed)
    sizes = ModelParams(width=32, depth=1, heads=2, patch=50)
    model = Classifier(Encoder(sizes, store.spec.leads, store.spec.samples), task.outputs, task.kind).eval()
    about: dict[str, Any] = {"task": ", ".join(targets), "mode": "linear", "data": store.described}
    if task.kind == "multiclass":
        about["classes"] = list(task.classes)
    if task.kind == "regression":
        about["units"] = dict(zip(task.outputs, task.units, strict=True))
    if folded:
        about |= {"recorded_leads": ["I", "II", "V2"], "share": 1.0}
    save_model(folder / "classifier", model, store.spec, about)
    table = _predictions(store, task, seed, ("train", "val", "test") if folded else ("val", "test"))
    if folded:
        table["split"] = "test"
    write_predictions(table, folder / "classifier/predictions.csv")
    write_json(folder / "classifier/choices.json", {"choices": {"C": dict.fromkeys(targets, 0.1)}, "history": []})
    groups = store.index.set_index("record_id")[["sex", "site"]]
    figures = evaluate(table, FAST, seed, main="linear", groups=groups)
    if folded:
        figures["cross_validation"] = {"folds": 4, "repeats": 2, "macro": {}}
    write_json(folder / "evaluation.json", _as_it_was(figures) if old else figures)
    return folder


def _predictions(store: Store, task: Task, seed: int, splits: tuple[str, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = np.concatenate([store.rows(split) for split in splits])
    values, index = task_values(store, task)[rows], store.index.iloc[rows]
    tables = []
    for name, knows in (("linear", 1.5), ("random", 0.3)):
        hint = np.nan_to_num(values, nan=0.5)
        made = rng.normal(size=values.shape) + knows * hint
        if task.kind == "regression":
            made = 55 + knows / 2 * (hint - 55) + rng.normal(0, 4, values.shape)
        keys = [index[c].astype(str).tolist() for c in ("record_id", "patient", "split")]
        tables.append(prediction_table(*keys, name, task.outputs, values, made, task.kind))  # type: ignore[call-arg]
    return pd.concat(tables, ignore_index=True)


def _as_it_was(figures: dict[str, Any]) -> dict[str, Any]:
    kept = {key: figures[key] for key in ("labels", "main", "baseline", "method", "splits", "models", "paired")}
    kept["paired"] = {
        split: {m: {k: found[k] for k in ("auroc", "auprc")} for m, found in paired.items()}
        for split, paired in figures["paired"].items()
    }
    for splits in kept["models"].values():
        for found in splits.values():
            for entry in found["labels"].values():
                before = entry.pop("calibration")["before"]
                entry.pop("thresholds")
                entry |= {"brier": before["brier"]["value"], "ece": before["ece"]}
    return kept

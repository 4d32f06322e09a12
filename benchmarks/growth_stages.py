"""Stages of ``growth.py``. Each prepares its input, and returns the work to measure as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from preprocess_memory import repeated
from scoring_memory import score_simulated
from sparse_store import generate, interrupt

from ecgssl.config import EvaluateParams, Params, SyntheticParams, parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.encoders.shipped import model_folder
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.leakage.select_recordings import select_recordings
from ecgssl.monitoring.monitor import monitor
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.pretraining.sampling import Sampler
from ecgssl.probes.ridge_classifier import fit_ridge_classifier
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store

LABELS, WIDTH, PER_PATIENT = 71, 384, 5
STEPS, BATCH = 1000, 256
CLASSIFIER = "ptbxl-superclass"

Prepared = Callable[[], dict[str, Any]]


def prepare_preprocess(count: int, folder: Path) -> Prepared:
    """Read, check, clean and store simulated recordings of 10 s; a small cohort is repeated under other names."""
    params = _params()
    simulate(folder / "set", SyntheticParams(patients=128, recordings_per_patient=(2, 2)), seed=0)
    cohort = repeated(load(params.one_set().data, folder / "set"), count)
    return lambda: {"stored": preprocess(cohort, params, folder / "store", bytes(32), progress=False).stored}


def prepare_resume(count: int, folder: Path) -> Prepared:
    """Preprocess a cohort whose shards are complete: verify them, compare all recordings, and write the index."""
    rng, params = np.random.default_rng(0), _params()
    patients = rng.integers(0, max(count // PER_PATIENT, 1), count)
    table = pd.DataFrame(
        {
            "record_id": [f"r{row}" for row in range(count)],
            "path": [f"files/{row // 1000:03d}/r{row}" for row in range(count)],
            "patient_id": [f"p{patient}" for patient in patients],
            "split": np.array(["train"] * 18 + ["val", "test"])[patients % 20],
        }
    )
    cohort = Cohort("generated", folder, table, (), "")
    interrupt(cohort, params, folder / "store")
    return lambda: {"resumed": preprocess(cohort, params, folder / "store", bytes(32), progress=False).resumed}


def prepare_overlap(count: int, folder: Path) -> Prepared:
    """Compare the recordings of a store with each other, and with a store of a fortieth of the size."""
    few = max(100, count // 40)
    generate(folder / "large", count, -(-count // 250), 1, few)
    generate(folder / "small", few, -(-few // 250), 2, few)
    stores = {name: Store(folder / name) for name in ("large", "small")}

    def work() -> dict[str, Any]:
        selection = select_recordings(stores, ["large"], {"task": "small"})
        return {"left_out": sum(len(rows) for rows in selection.sets["large"].left_out.values())}

    return work


def prepare_open(count: int, folder: Path) -> Prepared:
    """Open a store with shards of 250 recordings for pretraining."""
    generate(folder / "large", count, -(-count // 250), 1)
    return lambda: {"rows": len(Corpus({"large": Store(folder / "large")}).stores["large"])}


def prepare_sample(count: int, folder: Path) -> Prepared:
    """Draw the rows of 1,000 batches of 256 recordings."""
    generate(folder / "large", count, -(-count // 250), 1)
    corpus = Corpus({"large": Store(folder / "large")})

    def work() -> dict[str, Any]:
        sampler = Sampler(corpus, "proportional", BATCH, 0)
        return {"rows": sum(len(sampler(step)) for step in range(STEPS))}

    return work


def prepare_probe(count: int, folder: Path) -> Prepared:
    """Fit and select the linear probe (ridge classifier) of 71 labels on memory-mapped embeddings with 384 values."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(WIDTH, LABELS)) / np.sqrt(WIDTH)
    features = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (count, WIDTH))
    targets = np.empty((count, LABELS))
    cuts = np.linspace(0.2, 1.6, LABELS)
    for start in range(0, count, 10_000):
        block = rng.standard_normal((min(10_000, count - start), WIDTH), dtype=np.float32)
        features[start : start + len(block)] = block
        targets[start : start + len(block)] = block @ direction + rng.normal(size=(len(block), LABELS)) > cuts
    features.flush()
    mapped = np.load(folder / "x.npy", mmap_mode="r")
    train, val = np.arange(count * 9 // 10), np.arange(count * 9 // 10, count)
    names = [f"L{k}" for k in range(LABELS)]
    return lambda: {"C": fit_ridge_classifier(mapped, targets, train, val, names=names).C[0]}


def prepare_evaluate(count: int, folder: Path) -> Prepared:
    """Evaluate one model with 71 labels and 1,000 bootstrap resamples of patients, half of them validation."""
    rng = np.random.default_rng(0)
    patients = rng.integers(0, max(count // PER_PATIENT, 1), count)
    prevalence = np.geomspace(0.002, 0.4, LABELS)
    columns: dict[str, Any] = {
        "record_id": [f"r{row:06d}" for row in range(count)],
        "patient": [f"{patient:016x}" for patient in patients],
        "split": np.array(["val", "test"])[patients % 2],
        "model": "linear",
        "kind": "multilabel",
    }
    for k, share in enumerate(prevalence):
        y = (rng.random(count) < share).astype(float)
        z = (rng.normal(size=count) + 1.5 * y + np.log(share / (1 - share))).round(4)
        columns |= {f"target__L{k}": y, f"logit__L{k}": z, f"prob__L{k}": 1 / (1 + np.exp(-z))}
    table = pd.DataFrame(columns)
    return lambda: {"records": evaluate(table, EvaluateParams(), 0, baseline=None)["splits"]["test"]["records"]}


def prepare_predict(count: int, folder: Path) -> Prepared:
    """Score the recordings of a table; signals and model outputs are simulated, so only the handling of rows counts."""
    bundle = model_folder(CLASSIFIER, "bundle")
    return lambda: {"rows": score_simulated(bundle, count, ".csv").counted}


def prepare_monitor(count: int, folder: Path) -> Prepared:
    """Compare a score file (CSV) of a classifier with five labels with the reference statistics of its bundle.

    A large file repeats the rows of 10,000 recordings.
    """
    scores, few = folder / "scores.csv", min(count, 10_000)
    score_simulated(model_folder(CLASSIFIER, "bundle"), few, ".csv", scores)
    header, *rows = scores.read_text().splitlines(keepends=True)
    with scores.open("w") as file:
        file.write(header)
        for _ in range(count // few):
            file.writelines(rows)
    return lambda: {"tried": monitor(CLASSIFIER, [scores], folder / "drift.html")["batch"]["tried"]}


def _params() -> Params:
    sets = {"synthetic": {"reader": "synthetic"}}
    return parse_params({"tasks": {"none": {"targets": ["none"]}}, "sets": sets, "store": {"workers": 1}})


STAGES: dict[str, Callable[[int, Path], Prepared]] = {
    "preprocess": prepare_preprocess,
    "resume": prepare_resume,
    "overlap": prepare_overlap,
    "open": prepare_open,
    "sample": prepare_sample,
    "probe": prepare_probe,
    "evaluate": prepare_evaluate,
    "predict": prepare_predict,
    "monitor": prepare_monitor,
}

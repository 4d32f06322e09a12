"""One fine-tuning run: a task, a mode, and beside it always the random encoder with the same linear probe."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ecgssl.config import FinetuneParams, ModelParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.metrics import macro, ranking_metrics
from ecgssl.evaluation.predictions import prediction_table, write_predictions
from ecgssl.evaluation.probe import Probe, fit_probe
from ecgssl.evaluation.unseen import require_unseen
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import CONFIG, RunState, load_encoder, weight_bytes, write_model
from ecgssl.training.embed import embed_store
from ecgssl.training.full import finetune_full, predict_logits

Mode = Literal["linear", "full", "scratch"]
BASELINE = "random"


@dataclass
class FinetuneResult:
    """What a run leaves.

    Args:
        classifier: the fine-tuned model, eval mode.
        predictions: prediction table of validation and test for the mode and for ``random``.
        choices: what validation selected: C and class weight per target, or the epoch.
        history: of full fine-tuning, per epoch.
        overlap: outcome of the comparison with the recordings of pretraining (``ecgssl.store.overlap.in_words``).
    """

    classifier: Classifier
    predictions: pd.DataFrame
    choices: dict[str, Any]
    history: list[dict[str, float]]
    overlap: dict[str, Any]


def finetune(
    store: Store,
    encoder_path: Path | str,
    targets: Sequence[str],
    mode: Mode,
    params: FinetuneParams,
    seed: int,
    work: Path,
    *,
    show_progress: bool = True,
) -> FinetuneResult:
    """Fine-tune for the named targets on ``train``, select on ``val``, predict ``val`` and ``test``.

    Args:
        store: recordings with the targets.
        encoder_path: pretrained encoder or bundle of the store's contract; ``scratch`` takes only its sizes.
        targets: names of columns of the store.
        mode: ``linear`` (frozen encoder, logistic regression), ``full`` (both trained, from the linear probe on), or
            ``scratch`` (as ``full``, from the random encoder).
        params: of both.
        seed: of the random encoder, folds and the loop.
        work: folder for cached embeddings and resumable state.
        show_progress: draw progress bars on a terminal.

    Raises:
        InputError: a target is missing, or has one class in train, or a split is empty; or the encoder was pretrained on
            recordings of validation or test, and ``params.overlap`` is ``error``.
        ContractMismatch: encoder and store disagree.
    """
    values = target_array(store, targets)
    drop_path = 0.0 if mode == "linear" else params.full.drop_path
    pretrained, _ = load_encoder(encoder_path, store.spec, str(store.path), drop_path)
    overlap = {"not_checked": "nothing was pretrained"}
    if mode != "scratch":
        overlap = require_unseen(store, encoder_path, params.overlap)
    random = random_encoder(pretrained.params, store, seed, drop_path)
    cache = work / "embeddings"
    baseline, baseline_classifier = _linear(random, store, values, targets, params, seed, cache, show_progress)
    encoder = random if mode == "scratch" else pretrained
    if mode == "scratch":
        probe, classifier = baseline, baseline_classifier
    else:
        probe, classifier = _linear(encoder, store, values, targets, params, seed, cache, show_progress)
    rows = np.concatenate([_known_rows(store, values, split) for split in ("val", "test")])
    baseline_logits = predict_logits(baseline_classifier, store, rows)
    choices: dict[str, Any] = {"C": dict(zip(targets, probe.C, strict=True)), "chosen_by": list(probe.chosen_by)}
    choices["class_weight"] = dict(zip(targets, probe.class_weight, strict=True))
    history: list[dict[str, float]] = []
    if mode != "linear":
        folder = work / f"{mode}-{'-'.join(targets)[:60]}"
        config = {**params.full.model_dump(mode="json"), "seed": seed, "targets": list(targets), "mode": mode}
        config |= {"weights": _digest(classifier), "recordings": store.about["index_sha256"]}
        result = finetune_full(
            classifier, store, values, params.full, seed, macro_auroc, folder, config, show_progress=show_progress
        )
        RunState(folder, config).discard()
        classifier, history = result.model, result.history
        choices = {"epoch": result.best_epoch, "started_from": choices}
    logits = {mode: predict_logits(classifier, store, rows), BASELINE: baseline_logits}
    index = store.index.iloc[rows]
    tables = [
        prediction_table(
            index["record_id"].tolist(),
            index["patient"].tolist(),
            index["split"].tolist(),
            name,
            targets,
            values[rows],
            z,
        )
        for name, z in logits.items()
    ]
    return FinetuneResult(classifier, pd.concat(tables, ignore_index=True), choices, history, overlap)


def publish_finetuning(result: FinetuneResult, store: Store, out: Path, task: str, mode: Mode) -> None:
    """Write classifier, ``predictions.csv`` and ``choices.json`` into the folder ``out``, all of it or nothing."""
    with atomic_directory(out, marker=CONFIG) as folder:
        about = {"task": task, "mode": mode, "data": store.described, "overlap": result.overlap}
        write_model(folder, result.classifier, store.spec, about)
        write_predictions(result.predictions, folder / "predictions.csv")
        history = [{k: None if math.isnan(v) else v for k, v in row.items()} for row in result.history]
        write_json(folder / "choices.json", {"choices": result.choices, "history": history})


def random_encoder(params: ModelParams, store: Store, seed: int, drop_path: float = 0.0) -> Encoder:
    """The encoder as it was before any training, under the seed of the run."""
    torch.manual_seed(seed)
    return Encoder(params, store.spec.leads, store.spec.samples, drop_path).eval()


def target_array(store: Store, targets: Sequence[str]) -> NDArray[np.float64]:
    """(len(store), K) of 1, 0 and NaN (unknown).

    Raises:
        InputError: no target, one named twice, and every one that the store lacks, that is not binary, or that has one
            class in a split.
    """
    twice = sorted({t for t in targets if list(targets).count(t) > 1})
    if twice or not targets:
        what = f"{', '.join(twice)} named more than once" if twice else "none is named"
        remedy = f"Name each once, of: {', '.join(store.targets)}"
        raise InputError(Problem("task", "targets", what, remedy))
    missing = [t for t in targets if t not in store.targets]
    if missing:
        raise InputError(
            Problem(str(store.path), t, "is not a target of this store", f"It has: {', '.join(store.targets)}")
            for t in missing
        )
    other = {t: store.kinds[t].kind for t in targets if t in store.kinds and store.kinds[t].kind != "binary"}
    if other:
        remedy = "Take it out of the task, or declare binary targets of its column and preprocess again"
        raise InputError(
            Problem(str(store.path), t, f"is {kind}, and only binary targets can be trained", remedy)
            for t, kind in other.items()
        )
    values = store.index[list(targets)].to_numpy(dtype=np.float64)
    problems = []
    for k, name in enumerate(targets):
        for split in ("train", "val", "test"):
            cells = values[store.rows(split), k]
            ones, zeros = int((cells == 1).sum()), int((cells == 0).sum())
            if not (ones and zeros):
                what = f"has {ones} positive and {zeros} negative recordings in split {split!r}, both are needed"
                problems.append(Problem(str(store.path), name, what, "Take it out of the task, or add recordings"))
    if problems:
        raise InputError(problems)
    return values


def macro_auroc(targets: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    """Mean AUROC over the labels that have both classes."""
    return float(macro([ranking_metrics(targets[:, k], logits[:, k])[0][0] for k in range(targets.shape[1])]))


def _linear(
    encoder: Encoder,
    store: Store,
    values: NDArray[np.float64],
    targets: Sequence[str],
    params: FinetuneParams,
    seed: int,
    cache: Path,
    show_progress: bool,
) -> tuple[Probe, Classifier]:
    embeddings = _cached_embeddings(encoder, store, cache, show_progress)
    train, val = (_known_rows(store, values, split) for split in ("train", "val"))
    probe = fit_probe(
        embeddings[train], values[train], embeddings[val], values[val], params.linear,
        names=targets, groups=store.patients[train], seed=seed,
    )  # fmt: skip
    return probe, with_probe(encoder, probe)


def with_probe(encoder: Encoder, probe: Probe) -> Classifier:
    """The classifier that a linear probe on an encoder is."""
    classifier = Classifier(encoder, probe.names)
    head = classifier.head
    fitted = {"mean": probe.mean, "scale": probe.scale, "linear.weight": probe.weight, "linear.bias": probe.bias}
    head.load_state_dict({name: torch.from_numpy(array).float() for name, array in fitted.items()})
    return classifier.eval()


def _known_rows(store: Store, values: NDArray[np.float64], split: str) -> NDArray[np.int64]:
    rows = store.rows(split)
    return rows[~np.isnan(values[rows]).all(axis=1)]


def _cached_embeddings(encoder: Encoder, store: Store, cache: Path, show_progress: bool) -> NDArray[np.float32]:
    """Embeddings of the whole store, computed once per recordings and weights."""
    key = hashlib.sha256((_digest(encoder) + store.about["index_sha256"] + store.spec.fingerprint).encode()).hexdigest()
    file = cache / f"{key[:32]}.npy"
    if file.exists():
        found = np.load(file, allow_pickle=False)
        if found.shape == (len(store), encoder.embed_dim):
            return found
    embeddings = embed_store(encoder, store, np.arange(len(store)), show_progress=show_progress)
    buffer = io.BytesIO()
    np.save(buffer, embeddings, allow_pickle=False)
    write_atomic(file, buffer.getvalue())
    return embeddings


def _digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(weight_bytes(model)).hexdigest()

"""One fine-tuning run: a task, a mode, and beside it always the random encoder with the same linear probe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ecgssl.config import FinetuneParams, ModelParams
from ecgssl.evaluation.chosen_rows import ChosenRows, choose_rows, lead_subset, share_of
from ecgssl.evaluation.embeddings import cached_embeddings, digest
from ecgssl.evaluation.metrics import macro, ranking_metrics
from ecgssl.evaluation.predictions import prediction_table, write_predictions
from ecgssl.evaluation.probe import Probe, fit_probe
from ecgssl.evaluation.task import require_learnable, resolve_task, task_values
from ecgssl.evaluation.unseen import require_unseen
from ecgssl.files import atomic_directory, write_json
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import CONFIG, RunState, load_encoder, write_model
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
    share: float = 1.0,
    leads: Sequence[str] | None = None,
    rows: Mapping[str, NDArray[np.int64]] | None = None,
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
        share: of the train patients whose labels are used, stratified by target; shares of one seed are nested.
            Validation is used whole.
        leads: leads that are seen in training and prediction; all where not given.
        rows: rows of the store by split, in place of the store's splits, for cross-validation. ``val`` may then be empty,
            and only train need have both classes; C is then chosen by cross-validation inside train.
        show_progress: draw progress bars on a terminal.

    Raises:
        InputError: a target is missing or there is too little of it (``require_learnable``); share, leads or rows are not
            what they should be; or the encoder was pretrained on recordings of validation or test, and ``params.overlap``
            is ``error``.
        ContractMismatch: encoder and store disagree.
    """
    task = resolve_task(store, targets)
    values = task_values(store, task)
    seen = lead_subset(store, leads)
    chosen = choose_rows(store, values, seen, rows)
    require_learnable(
        task, values, store.patients, chosen.by_split(), str(store.path), () if rows is not None else ("val", "test")
    )
    part = replace(chosen, train=share_of(store, values, chosen.train, share, seed))
    require_learnable(task, values, store.patients, part.by_split(), str(store.path), ())
    drop_path = 0.0 if mode == "linear" else params.full.drop_path
    pretrained, _ = load_encoder(encoder_path, store.spec, str(store.path), drop_path)
    overlap = {"not_checked": "nothing was pretrained"}
    if mode != "scratch":
        overlap = require_unseen(store, encoder_path, params.overlap, rows)
    random = random_encoder(pretrained.params, store, seed, drop_path)
    fit = _Fit(store, values, targets, params, seed, work / "embeddings", part, seen, show_progress)
    baseline, baseline_classifier = _linear(random, fit)
    encoder = random if mode == "scratch" else pretrained
    if mode == "scratch":
        probe, classifier = baseline, baseline_classifier
    else:
        probe, classifier = _linear(encoder, fit)
    scored = np.concatenate([part.val, part.test])
    split = ["val"] * len(part.val) + ["test"] * len(part.test)
    baseline_logits = predict_logits(baseline_classifier, store, scored, seen)
    choices: dict[str, Any] = {"C": dict(zip(targets, probe.C, strict=True)), "chosen_by": list(probe.chosen_by)}
    choices["class_weight"] = dict(zip(targets, probe.class_weight, strict=True))
    history: list[dict[str, float]] = []
    if mode != "linear":
        config = {**params.full.model_dump(mode="json"), "seed": seed, "targets": list(targets), "mode": mode}
        config |= {"weights": digest(classifier), "recordings": store.about["index_sha256"]}
        config |= {"rows": _digest_of(part.train, part.val), "leads": list(leads or ())}
        folder = work / f"{mode}-{sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]}"
        result = finetune_full(
            classifier, store, values, params.full, seed, macro_auroc, folder, config,
            train=part.train, val=part.val, leads=seen, show_progress=show_progress,
        )  # fmt: skip
        RunState(folder, config).discard()
        classifier, history = result.model, result.history
        choices = {"epoch": result.best_epoch, "started_from": choices}
    logits = {mode: predict_logits(classifier, store, scored, seen), BASELINE: baseline_logits}
    index = store.index.iloc[scored]
    tables = [
        prediction_table(
            index["record_id"].tolist(),
            index["patient"].tolist(),
            split,
            name,
            targets,
            values[scored],
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


def macro_auroc(targets: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    """Mean AUROC over the labels that have both classes."""
    return float(macro([ranking_metrics(targets[:, k], logits[:, k])[0][0] for k in range(targets.shape[1])]))


@dataclass(frozen=True)
class _Fit:
    store: Store
    values: NDArray[np.float64]
    targets: Sequence[str]
    params: FinetuneParams
    seed: int
    cache: Path
    rows: ChosenRows
    leads: NDArray[np.bool_] | None
    show_progress: bool


def _linear(encoder: Encoder, fit: _Fit) -> tuple[Probe, Classifier]:
    train, val = fit.rows.train, fit.rows.val
    both = np.concatenate([train, val])
    embeddings = cached_embeddings(encoder, fit.store, both, fit.cache, fit.leads, show_progress=fit.show_progress)
    probe = fit_probe(
        embeddings[: len(train)], fit.values[train], embeddings[len(train) :], fit.values[val], fit.params.linear,
        names=fit.targets, groups=fit.store.patients[train], seed=fit.seed,
    )  # fmt: skip
    return probe, with_probe(encoder, probe)


def _digest_of(*rows: NDArray[np.int64]) -> str:
    return sha256(b"/".join(part.tobytes() for part in rows)).hexdigest()[:16]


def with_probe(encoder: Encoder, probe: Probe) -> Classifier:
    """The classifier that a linear probe on an encoder is."""
    classifier = Classifier(encoder, probe.names)
    head = classifier.head
    fitted = {"mean": probe.mean, "scale": probe.scale, "linear.weight": probe.weight, "linear.bias": probe.bias}
    head.load_state_dict({name: torch.from_numpy(array).float() for name, array in fitted.items()})
    return classifier.eval()

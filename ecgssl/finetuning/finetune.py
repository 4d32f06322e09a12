"""Fine-tuning of an encoder for one task, with two baselines: a randomly initialised encoder and clinical features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from ecgssl.config import FinetuneParams, ModelParams
from ecgssl.config.finetune import Mode
from ecgssl.evaluation.predictions import BASELINE, prediction_table
from ecgssl.finetuning.attentive import finetune_attentive
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline, fit_baseline
from ecgssl.finetuning.clinical_network import with_network
from ecgssl.finetuning.embeddings import cached_embeddings, digest
from ecgssl.finetuning.full import FullResult, Score, finetune_full, predict_logits
from ecgssl.finetuning.mlp import finetune_mlp, standardised_targets
from ecgssl.finetuning.pretraining_overlap import require_no_overlap, training_identities
from ecgssl.finetuning.probe_head import head_of, probe_classifier
from ecgssl.finetuning.rows import ChosenRows, choose_rows, lead_subset, share_of
from ecgssl.finetuning.task import Task, require_learnable, resolve_task, task_values
from ecgssl.leakage.identities import Identities
from ecgssl.model.classifier import Classifier, start_attentive
from ecgssl.model.encoder import Encoder
from ecgssl.probes.binary import Probe
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.selection import selection_score
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import RunState, load_encoder
from ecgssl.training.origin import describe_origin


@dataclass
class FinetuneResult:
    """Result of ``finetune``.

    Args:
        task: task of the model.
        classifier: fine-tuned model in eval mode.
        predictions: predictions for validation and test of the fine-tuned model, the baseline ``random`` and, unless it
            is turned off, the clinical baseline.
        choices: selected hyperparameters: C, class weight and selection rule of each output of the linear probe; in
            other modes the epoch, with the choices of the probe under ``started_from``, which has an epoch if training
            started from the nonlinear probe. ``rows`` contains the numbers of
            used and excluded recordings, ``clinical_baseline`` the inputs and hyperparameters of this baseline. If the
            baselines are nonlinear, ``epoch_of_random`` and ``clinical_baseline`` contain their epochs.
        history: training loss and validation score per epoch; empty for mode ``linear``.
        overlap: overlap with the pretraining recordings, as returned by ``require_no_overlap``. Mode ``scratch`` has no
            pretraining, so only ``not_checked`` is set.
        learned: identities of the training recordings, as returned by ``training_identities``.
        encoder: training data of the encoder, as returned by ``describe_origin``; ``None`` for mode ``scratch``.
        clinical: clinical baseline; ``None`` if it is turned off.
    """

    task: Task
    classifier: Classifier
    predictions: pd.DataFrame
    choices: dict[str, Any]
    history: list[dict[str, float]]
    overlap: dict[str, Any]
    learned: Identities | None = None
    encoder: dict[str, Any] | None = None
    clinical: ClinicalBaseline | None = None


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
    """Fine-tune an encoder on the training split and predict the validation and test splits.

    Hyperparameters are selected on the validation split. If it has too few recordings of an output, C and class weight
    are selected by cross-validation on the training split, and if this is also too small, the smallest C is used.

    Args:
        store: store with the recordings and their targets.
        encoder_path: pretrained encoder, or a bundle of one, with the preprocessing settings of the store. Mode
            ``scratch`` uses only its architecture.
        targets: names of target columns of the store, or ``age``. They must be all binary, all numeric, or one
            multiclass target.
        mode: ``linear`` trains a logistic or ridge regression on a frozen encoder. ``mlp`` averages it with a network on
            the same embeddings. ``attentive`` trains attention pooling over the tokens of a frozen encoder, and a linear
            head. ``full`` trains encoder and head. ``attentive`` and ``full`` start from the linear probe, or
            ``full`` from the nonlinear one (``params.full.start``). ``scratch`` is ``full`` with a randomly initialised
            encoder. The baselines are nonlinear probes if the model has or starts from one, otherwise linear probes.
        params: fine-tuning parameters of all modes.
        seed: seed of the randomly initialised encoder, the folds, the training loop and the draw of ``share``.
        work: folder for cached embeddings and resumable state.
        share: share of the training patients that is used, stratified by target. With the same seed, smaller shares are
            subsets of larger ones. All validation patients are used.
        leads: leads used in training and prediction; all by default.
        rows: rows of the store by split, such as folds; by default the splits of the store. Without ``val``,
            mode ``linear`` selects hyperparameters by cross-validation on the training rows; the other modes require
            ``val``. ``test`` may have a single class. Without ``val`` and ``test``, the prediction table is empty.
        show_progress: draw progress bars on a terminal.

    Raises:
        InputError: a target is missing or has too few recordings (see ``require_learnable``), the targets have
            different kinds, or ``share``, ``leads`` or ``rows`` are invalid. Also raised if ``params.overlap`` is
            ``error`` and the encoder was pretrained on held-out recordings or their patients (``require_no_overlap``).
        ContractMismatch: encoder and store have different preprocessing settings.
        Diverged: a training loss or validation score is not finite.
    """
    task = resolve_task(store, targets)
    values = task_values(store, task)
    seen = lead_subset(store, leads)
    chosen = choose_rows(store, values, seen, rows)
    scored = ("val", "test") if rows is None else () if mode == "linear" else ("val",)
    require_learnable(task, values, store.patients, chosen.by_split(), str(store.path), scored)
    part = replace(chosen, train=share_of(store, values, chosen.train, share, seed))
    require_learnable(task, values, store.patients, part.by_split(), str(store.path), ())
    drop_path = params.full.drop_path if mode in ("full", "scratch") else 0.0
    pretrained, _ = load_encoder(encoder_path, store.spec, str(store.path), drop_path)
    overlap = {"not_checked": "nothing was pretrained"}
    if mode != "scratch":
        overlap = require_no_overlap(store, encoder_path, params.overlap, rows)
    random = random_encoder(pretrained.params, store, seed, drop_path)
    run = _Run(store, task, values, mode, params, seed, work, part, seen, show_progress)
    baseline = run.linear(random)
    logits = {BASELINE: baseline.outputs}
    start = baseline if mode == "scratch" else run.linear(pretrained)
    probe, classifier = start.probe, start.classifier
    choices: dict[str, Any] = {
        "C": dict(zip(task.outputs, probe.C, strict=True)),
        "chosen_by": list(probe.chosen_by),
        "class_weight": dict(zip(task.outputs, probe.class_weight, strict=True)),
    }
    if task.kind == "multilabel":
        choices |= {"correction": probe.correction, "correction_of_random": baseline.probe.correction}
    history: list[dict[str, float]] = []
    outputs = start.outputs
    nonlinear = params.baseline_probe(mode) == "mlp"
    if nonlinear and mode != "mlp":
        choices["epoch"] = run.epochs(start, "mlp")[0].best_epoch
    if mode != "linear":
        result, outputs = run.epochs(start, mode)
        classifier, history = result.model, result.history
        choices = {"epoch": result.best_epoch, "started_from": choices}
    if nonlinear:
        compared, logits[BASELINE] = run.epochs(baseline, "mlp")
        choices["epoch_of_random"] = compared.best_epoch
    counts = {split: len(found) for split, found in part.by_split().items()}
    choices["rows"] = {**counts, "unlabelled": part.unlabelled, "without_leads": part.without_leads}
    logits = {mode: outputs, **logits}
    clinical = None
    if params.clinical_baseline:
        clinical, found, choices["clinical_baseline"] = run.clinical()
        logits[clinical.model] = found
    known = training_identities(
        store, None if mode == "scratch" else encoder_path, np.concatenate([part.train, part.val])
    )
    origin = None if mode == "scratch" else describe_origin(encoder_path)
    for state in run.states:
        state.discard()
    return FinetuneResult(task, classifier, run.table(logits), choices, history, overlap, known, origin, clinical)


def random_encoder(params: ModelParams, store: Store, seed: int, drop_path: float = 0.0) -> Encoder:
    """Return a randomly initialised encoder; ``seed`` determines its weights."""
    torch.manual_seed(seed)
    return Encoder(params, store.spec.leads, store.spec.samples, drop_path).eval()


@dataclass(frozen=True)
class _Linear:
    """Linear probe, its classifier, and its outputs (N, K) for the validation and test recordings."""

    probe: Probe
    classifier: Classifier
    outputs: NDArray[np.float64]


@dataclass(frozen=True)
class _Run:
    store: Store
    task: Task
    values: NDArray[np.float64]
    mode: Mode
    params: FinetuneParams
    seed: int
    work: Path
    rows: ChosenRows
    leads: NDArray[np.bool_] | None
    show_progress: bool
    states: list[RunState] = field(default_factory=list)

    @property
    def scored(self) -> NDArray[np.int64]:
        return np.concatenate([self.rows.val, self.rows.test])

    def linear(self, encoder: Encoder) -> _Linear:
        train, val = self.rows.train, self.rows.val
        learned, scored = self.embeddings(encoder)
        probe = probe_for(self.task.kind, self.params.linear, learned.shape)(
            learned, self.values[train], scored[: len(val)], self.values[val], self.params.linear,
            names=self.task.outputs, groups=self.store.patients[train], seed=self.seed,
        )  # fmt: skip
        classifier = probe_classifier(encoder, probe)
        with torch.inference_mode():
            outputs = classifier.from_features(torch.from_numpy(scored)).double().numpy()
        return _Linear(probe, classifier, outputs)

    def embeddings(self, encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the embeddings of the training recordings, and those of the validation and test recordings."""
        learned, scored = (
            cached_embeddings(
                encoder, self.store, rows, self.work / "embeddings", self.leads,
                precision=precision, show_progress=self.show_progress,
            )
            # validation and test recordings are embedded in fp32, as by a deployed model
            for rows, precision in ((self.rows.train, self.params.linear.precision), (self.scored, "fp32"))
        )  # fmt: skip
        return learned, scored

    def epochs(self, linear: _Linear, mode: Mode) -> tuple[FullResult, NDArray[np.float64]]:
        """Train in a mode with epochs, starting from the classifier of a linear probe. An interrupted run is resumed.

        Mode ``mlp`` changes the head of this classifier. The second value is the outputs (N, K) for the validation and test
        recordings.
        """
        start = linear.classifier
        folder, config = self.state(start, mode)
        score = selection_score(self.task.kind)
        train, val = self.rows.train, self.rows.val
        if mode == "mlp":
            return self.mlp(linear, score, folder, config)
        if mode == "attentive":
            torch.manual_seed(self.seed)
            model = start_attentive(start, self.params.attentive.queries)
            result = finetune_attentive(
                model, self.store, self.values, self.params.attentive, self.seed, score, folder, config,
                train=train, val=val, leads=self.leads, show_progress=self.show_progress,
            )  # fmt: skip
        else:
            result = finetune_full(
                start, self.store, self.values, self.params.full, self.seed, score, folder, config,
                train=train, val=val, leads=self.leads, show_progress=self.show_progress,
            )  # fmt: skip
        return result, predict_logits(result.model, self.store, self.scored, self.leads)

    def mlp(
        self, linear: _Linear, score: Score, folder: Path, config: dict[str, Any]
    ) -> tuple[FullResult, NDArray[np.float64]]:
        """Train a nonlinear probe on the embeddings of the frozen encoder; return values as in ``epochs``."""
        start = linear.classifier
        learned, scored = self.embeddings(start.encoder)
        train, val = (
            standardised_targets(self.values[part], linear.probe) for part in (self.rows.train, self.rows.val)
        )
        found = finetune_mlp(
            start.head, self.task.kind, learned, train, scored[: len(val)], val, self.params.mlp, self.seed, score,
            folder, config, show_progress=self.show_progress,
        )  # fmt: skip
        start.head = found.head
        with torch.inference_mode():
            parts = [
                start.from_features(torch.from_numpy(part)) for part in np.array_split(scored, -(-len(scored) // 1024))
            ]
        return FullResult(start, found.history, found.best_epoch), torch.cat(parts).double().numpy()

    def state(self, start: nn.Module, mode: Mode) -> tuple[Path, dict[str, Any]]:
        """Return the folder for the resumable state of a training that starts from a module, and all that determines it."""
        section = {"mlp": self.params.mlp, "attentive": self.params.attentive}.get(mode, self.params.full)
        leads = [] if self.leads is None else np.array(self.store.spec.leads)[self.leads].tolist()
        config = {**section.model_dump(mode="json"), "seed": self.seed, "targets": list(self.task.targets)}
        config |= {"mode": mode, "leads": leads, "rows": _digest_of(self.rows.train, self.rows.val)}
        config |= {"weights": digest(start), "recordings": self.store.about["index_sha256"]}
        name = sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
        folder = self.work / f"{mode}-{name}"
        self.states.append(RunState(folder, config))
        return folder, config

    def clinical(self) -> tuple[ClinicalBaseline, NDArray[np.float64], dict[str, Any]]:
        """Return the clinical baseline, its outputs (N, K) for the validation and test recordings, and its choices."""
        cache = self.work / "clinical"
        baseline, outputs = fit_baseline(
            self.store, self.task, self.values, self.rows, self.params.linear, self.seed, cache, self.leads,
            show_progress=self.show_progress,
        )  # fmt: skip
        if self.params.baseline_probe(self.mode) == "linear":
            return baseline, outputs, baseline.about()
        folder, config = self.state(head_of(baseline.probe), "mlp")
        baseline, outputs, epoch = with_network(
            baseline, self.store, self.values, self.rows, self.params.mlp, self.seed, cache, folder, config, self.leads,
            show_progress=self.show_progress,
        )  # fmt: skip
        return baseline, outputs, {**baseline.about(), "epoch": epoch}

    def table(self, logits: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
        rows, index = self.scored, self.store.index.iloc[self.scored]
        if not len(rows):
            return pd.DataFrame()
        split = ["val"] * len(self.rows.val) + ["test"] * len(self.rows.test)
        keys = index["record_id"].tolist(), index["patient"].tolist(), split
        tables = [
            prediction_table(*keys, name, self.task.outputs, self.values[rows], z, self.task.kind)
            for name, z in logits.items()
        ]
        return pd.concat(tables, ignore_index=True)


def _digest_of(*rows: NDArray[np.int64]) -> str:
    return sha256(b"/".join(part.tobytes() for part in rows)).hexdigest()[:16]

"""Repeated grouped stratified cross-validation of the linear probe, for small cohorts.

Folds are grouped by patient and stratified by target (``ecgssl.datasets.splits.repeated_folds``). For each fold, a
linear probe is fitted on the other folds. Its C and class weight are chosen by an inner cross-validation on these
training folds, so they do not depend on the test fold. The final classifier is fitted on all recordings, with C and
class weight chosen by cross-validation on all recordings. Its performance is estimated by the models of the folds,
which are trained on slightly fewer recordings.

The predictions of all folds of a repetition are pooled before metrics are computed, because a single fold of a small
cohort has few positive recordings. Pooling compares scores of different models, so the pooled AUROC is slightly
too low (Forman & Scholz, SIGKDD Explorations 2010). Calibrators and thresholds are not fitted, because no recordings
are left for this purpose. Metrics that require them are undefined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import FinetuneParams
from ecgssl.datasets.enough_data import MIN_CROSS_VALIDATED, cross_validation_minimum, shortages
from ecgssl.datasets.splits import CannotSplit, repeated_folds
from ecgssl.errors import InputError, Problem
from ecgssl.finetuning.finetune import FinetuneResult, finetune
from ecgssl.finetuning.pretraining_overlap import require_no_overlap
from ecgssl.finetuning.rows import SPLITS, lead_subset
from ecgssl.finetuning.task import Array, Task, resolve_task, task_values
from ecgssl.leakage.across_folds import count_across_folds
from ecgssl.store.store import Store


@dataclass
class CrossValidation:
    """Result of a cross-validation.

    Args:
        final: classifier fitted on all recordings. Its prediction table contains the out-of-fold predictions of the
            first repetition, with split ``test``.
        repetitions: out-of-fold prediction tables, one per repetition.
        folds: number of folds.
    """

    final: FinetuneResult
    repetitions: list[pd.DataFrame]
    folds: int


def cross_validate(
    store: Store,
    encoder_path: Path | str,
    targets: Sequence[str],
    params: FinetuneParams,
    seed: int,
    work: Path,
    *,
    leads: Sequence[str] | None = None,
    show_progress: bool = True,
) -> CrossValidation:
    """Cross-validate the linear probe with repeated, grouped and stratified k-fold splits.

    The recordings of the train, validation and test splits are pooled.

    Args:
        store: store of the cohort. Recordings without a split, without a known target or without any of the leads are
            excluded, and so are those in split ``external``.
        encoder_path, targets, leads, show_progress: see ``finetune``.
        params: fine-tuning parameters; ``folds``, ``repeats`` and the grid of the linear probe are used.
        seed: seed of the outer and inner folds and of the randomly initialised encoder.
        work: folder for cached embeddings.

    Raises:
        InputError: there are too few recordings or patients, the patients cannot be divided into folds, or ``finetune``
            raises this error.
        ContractMismatch: encoder and store have different preprocessing settings.
    """
    # every recording is scored, and scores are computed in fp32
    params = params.model_copy(update={"linear": params.linear.model_copy(update={"precision": "fp32"})})
    task = resolve_task(store, targets)
    values = task_values(store, task)
    rows = _usable(store, values, leads)
    _require_enough(task, values, store, rows, params.folds)
    fold = _folds(store, task, rows, params, seed)
    overlap = require_no_overlap(store, encoder_path, params.overlap, {"test": rows})
    overlap.pop("across_splits", None)
    overlap["across_folds"] = count_across_folds(store, rows, fold)
    tables: list[list[pd.DataFrame]] = [[] for _ in range(params.repeats)]
    for repeat, train, test in _parts(rows, fold):
        found = finetune(
            store, encoder_path, targets, "linear", params, seed, work,
            leads=leads, rows={"train": train, "test": test}, show_progress=show_progress,
        )  # fmt: skip
        tables[repeat].append(found.predictions)
    repetitions = [pd.concat(parts, ignore_index=True) for parts in tables]
    final = finetune(
        store, encoder_path, targets, "linear", params, seed, work,
        leads=leads, rows={"train": rows, "test": rows[:0]}, show_progress=show_progress,
    )  # fmt: skip
    final.predictions = repetitions[0]
    # the final fit has no held-out recordings to check, so use the overlap check of all recordings
    final.overlap = overlap
    return CrossValidation(final, repetitions, params.folds)


def _usable(store: Store, values: Array, leads: Sequence[str] | None) -> NDArray[np.int64]:
    rows = np.sort(np.concatenate([store.rows(split) for split in SPLITS]))
    seen = lead_subset(store, leads)
    mask = store.lead_mask(rows) if seen is None else store.lead_mask(rows) & seen
    return rows[mask.any(axis=1) & ~np.isnan(values[rows]).all(axis=1)]


def _require_enough(task: Task, values: Array, store: Store, rows: NDArray[np.int64], folds: int) -> None:
    problems: list[tuple[str, str]] = []
    if len(rows) < MIN_CROSS_VALIDATED:
        what = f"has {len(rows)} usable recordings with a known target; at least {MIN_CROSS_VALIDATED} are needed"
        problems.append((task.name, what))
    minimum = cross_validation_minimum(folds)
    problems += shortages(task.kind, task.outputs, values[rows], store.patients[rows], minimum)
    if problems:
        remedy = "Add recordings, or merge rare classes into one target"
        raise InputError(
            Problem(str(store.path), name, f"{what.rstrip(',')} for {folds} folds", remedy) for name, what in problems
        )


def _folds(store: Store, task: Task, rows: NDArray[np.int64], params: FinetuneParams, seed: int) -> NDArray[np.int64]:
    """Return the index of the fold in which each row is tested, for each repetition: shape (rows, repeats)."""
    table = store.index.iloc[rows].assign(patient_id=store.patients[rows]).reset_index(drop=True)
    stratify = [target for target in task.targets if target in store.targets]
    try:
        return repeated_folds(table, stratify, params.folds, params.repeats, seed, store.kinds)
    except CannotSplit as error:
        raise InputError(Problem(str(store.path), "finetune.folds", error.what, error.remedy)) from None


def _parts(
    rows: NDArray[np.int64], fold: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    for repeat in range(fold.shape[1]):
        for number in np.unique(fold[:, repeat]):
            held = fold[:, repeat] == number
            yield repeat, rows[~held], rows[held]

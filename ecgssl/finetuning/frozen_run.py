"""Stored fine-tuning run: loading of its classifier, calibrators and thresholds, and predictions for a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.calibration.decision_text import has_calibrator
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.evaluation.statistics.metrics import Array
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline
from ecgssl.finetuning.clinical_file import read_baseline
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.rows import lead_subset
from ecgssl.finetuning.task import has_target, resolve_task, task_values
from ecgssl.model.classifier import Classifier
from ecgssl.signal.lead_sets import shown_leads
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier
from ecgssl.training.model_folder import CONFIG, read_json


@dataclass(frozen=True)
class FrozenRun:
    """Stored fine-tuning run: classifier, calibrators and thresholds.

    Args:
        folder: folder of the classifier.
        classifier: classifier in eval mode.
        spec: preprocessing settings of the classifier.
        decision: calibrators and thresholds of the classifier.
        model: name of the model in prediction tables: the fine-tuning mode of the run.
        recorded: recorded leads listed in the configuration of the run; the classifier also receives leads derived from
            them. Empty if none are listed; all leads of the preprocessing settings are then used.
        clinical: clinical baseline of the run; ``None`` if it has none.
        no_clinical: reason why the run has no clinical baseline; empty if it has one.
    """

    folder: Path
    classifier: Classifier
    spec: SignalSpec
    decision: Decision
    model: str
    recorded: tuple[str, ...] = ()
    clinical: ClinicalBaseline | None = None
    no_clinical: str = ""


def classifier_of(run: Path) -> Path:
    """Return the subfolder ``classifier`` of a run, or ``run`` itself if it has no such subfolder."""
    return run / "classifier" if (run / "classifier").is_dir() else run


def load_frozen(run: Path | str) -> FrozenRun:
    """Load a stored run from its folder or its classifier folder, or a shipped classifier by its name.

    Raises:
        InputError: a file is missing or invalid, or ``decision.json`` or ``clinical_baseline.json`` has other labels or
            another kind of target than the classifier.
    """
    folder = classifier_of(model_folder(run, "run"))
    classifier, spec = load_classifier(folder)
    decision = Decision.load(folder)
    if list(decision.names) != list(classifier.targets) or decision.kind != classifier.kind:
        what = f"has labels {', '.join(decision.names)}; the classifier has {', '.join(classifier.targets)}"
        raise InputError(Problem(str(folder), "decision.json", what, "Use the complete, unchanged folder of the run"))
    about = read_json(folder / CONFIG)
    clinical, why = read_baseline(folder, classifier.targets, classifier.kind)
    if clinical is not None and classifier.kind == "regression" and has_calibrator(decision):
        # a new line changes the errors of the model, but not those of the baseline
        clinical, why = None, "the model was recalibrated, and the baseline was not"
    return FrozenRun(
        folder, classifier, spec, decision, str(about.get("mode", "model")), tuple(about.get("recorded_leads", ())),
        clinical, why,
    )  # fmt: skip


def predict_frozen(
    frozen: FrozenRun, store: Store, among: NDArray[np.int64] | None = None, cache: Path | None = None
) -> pd.DataFrame:
    """Return the predictions of a stored run for the recordings of a store with a known target, as split ``external``.

    The clinical baseline of the run, if it has one, is a second model of the table.

    Args:
        frozen: stored run.
        store: store with the preprocessing settings of the run. Targets of a multilabel task or regression that it does
            not contain are treated as unknown.
        among: rows of the store to choose from; by default all.
        cache: cache folder for the inputs of the clinical baseline; by default they are not kept.

    Raises:
        ContractMismatch: the store has different preprocessing settings.
        InputError: the store has none of the targets, a target has another kind or other classes, or no recording has
            a known target.
    """
    frozen.spec.require_same(store.spec, str(frozen.folder), str(store.path))
    values = _values(frozen, store)
    known: NDArray[np.bool_] = np.asarray(~np.isnan(values).all(axis=1))
    rows = np.flatnonzero(known) if among is None else among[known[among]]
    if not len(rows):
        what = f"no recording has a known value of {' or '.join(frozen.classifier.targets)}"
        raise InputError(Problem(str(store.path), "targets", what, "Fill in the known values, or use another cohort"))
    seen = lead_subset(store, shown_leads(frozen.recorded, store.spec.leads)) if frozen.recorded else None
    logits, index = {frozen.model: predict_logits(frozen.classifier, store, rows, seen)}, store.index.iloc[rows]
    if frozen.clinical is not None:
        logits[frozen.clinical.model] = frozen.clinical.external_outputs(store, rows, seen, cache=cache)
    tables = [
        prediction_table(
            index["record_id"].tolist(), index["patient"].tolist(), [EXTERNAL] * len(rows), model,
            list(frozen.classifier.targets), values[rows], outputs, frozen.classifier.kind,
        )
        for model, outputs in logits.items()
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _values(frozen: FrozenRun, store: Store) -> Array:
    names, kind = list(frozen.classifier.targets), frozen.classifier.kind
    targets = [names[0].rpartition(":")[0]] if kind == "multiclass" else names
    there = [t for t in targets if has_target(store, t)]
    where = str(store.path)
    if not there:
        what = f"has none of the model's targets: {', '.join(targets)}"
        raise InputError(
            Problem(where, "targets", what, f"Rename the target columns; the store has: {', '.join(store.targets)}")
        )
    task = resolve_task(store, there)
    if task.kind != kind:
        what = f"{', '.join(there)} is {task.kind} in the store and {kind} in the model"
        raise InputError(Problem(where, "targets", what, "Declare these columns with the kind of target of the model"))
    if kind == "multiclass" and list(task.outputs) != names:
        what = f"has classes {', '.join(task.classes)}; the model has {', '.join(n.rpartition(':')[2] for n in names)}"
        raise InputError(Problem(where, targets[0], what, "Declare the same classes in the same order"))
    found = task_values(store, task)
    if kind == "multiclass":
        return found
    values = np.full((len(store), len(names)), np.nan)
    values[:, [names.index(t) for t in there]] = found
    return values

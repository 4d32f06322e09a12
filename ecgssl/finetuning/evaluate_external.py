"""External evaluation and recalibration of a stored run; the model and its thresholds are not refitted."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Params
from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.datasets.load import load
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import FILE, Decision, fit_from_predictions
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import prediction_table, write_predictions
from ecgssl.evaluation.statistics.metrics import Array
from ecgssl.files import atomic_directory, write_json
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.pretraining_overlap import require_no_overlap
from ecgssl.finetuning.rows import label_fraction, lead_subset
from ecgssl.finetuning.task import AGE, resolve_task, task_values
from ecgssl.model.classifier import Classifier
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.lead_sets import shown_leads
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.patient_key import load_or_make_key
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import CONFIG, load_classifier, read_json

FITTED = "val"
"""Split of the recordings that new calibrators are fitted on."""


@dataclass(frozen=True)
class FrozenRun:
    """A stored run.

    Args:
        folder: of the classifier.
        classifier: eval mode.
        spec: contract of its input.
        decision: its calibrators and thresholds.
        model: its name in prediction tables, the mode of the run.
        recorded: leads that were recorded where it was trained on fewer than the contract's; empty for all.
    """

    folder: Path
    classifier: Classifier
    spec: SignalSpec
    decision: Decision
    model: str
    recorded: tuple[str, ...] = ()


def classifier_of(run: Path) -> Path:
    """Return the folder of the classifier of a run."""
    return run / "classifier" if (run / "classifier").is_dir() else run


def load_frozen(run: Path | str) -> FrozenRun:
    """Load a run from its folder, or from the folder of its classifier.

    Raises:
        InputError: a file is missing or not what it should be, or decision and classifier are of different labels.
    """
    folder = classifier_of(Path(run))
    classifier, spec = load_classifier(folder)
    decision = Decision.load(folder)
    if list(decision.names) != list(classifier.targets) or decision.kind != classifier.kind:
        what = f"is of {', '.join(decision.names)}, the classifier of {', '.join(classifier.targets)}"
        raise InputError(Problem(str(folder), "decision.json", what, "Use the complete, unchanged folder of the run"))
    about = read_json(folder / CONFIG)
    return FrozenRun(
        folder, classifier, spec, decision, str(about.get("mode", "model")), tuple(about.get("recorded_leads", ()))
    )


def predict_frozen(frozen: FrozenRun, store: Store) -> pd.DataFrame:
    """Predict every recording of a store with a known target, as split ``external``.

    Args:
        frozen: the run.
        store: of the same contract. Labels that it lacks are unknown there.

    Raises:
        ContractMismatch: the store is of another contract.
        InputError: it has none of the targets, or has them in another kind or with other classes, or knows none of them.
    """
    frozen.spec.require_same(store.spec, str(frozen.folder), str(store.path))
    values = _values(frozen, store)
    rows = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not len(rows):
        what = f"no recording with a known {' or '.join(frozen.classifier.targets)}"
        raise InputError(Problem(str(store.path), "targets", what, "Fill in what is known, or name another cohort"))
    seen = lead_subset(store, shown_leads(frozen.recorded, store.spec.leads)) if frozen.recorded else None
    logits, index = predict_logits(frozen.classifier, store, rows, seen), store.index.iloc[rows]
    return prediction_table(
        index["record_id"].tolist(), index["patient"].tolist(), [EXTERNAL] * len(rows), frozen.model,
        list(frozen.classifier.targets), values[rows], logits, frozen.classifier.kind,
    )  # fmt: skip


@dataclass(frozen=True)
class External:
    """Result of an external evaluation.

    Args:
        figures: as of ``evaluate``, with ``external`` (who was judged) and, where asked for, ``recalibrated``.
        predictions: of split ``external``; those that calibrators were learned from are of split ``val``.
        recalibrated: the new decision, where asked for.
    """

    figures: dict[str, Any]
    predictions: pd.DataFrame
    recalibrated: Decision | None = None


def evaluate_frozen(
    frozen: FrozenRun,
    store: Store,
    params: Params,
    *,
    overlap: Literal["error", "warn"] = "error",
    share: float | None = None,
    new_thresholds: bool = False,
) -> External:
    """Evaluate a stored run on an external cohort.

    Args:
        frozen: the run.
        store: of its contract; all of its splits are external.
        params: section ``evaluate``, and the seed.
        overlap: what to do if the run was trained on recordings or patients of the cohort.
        share: of the cohort's patients that new calibrators are fitted on. The others are evaluated before and after. ``None``
            for no recalibration.
        new_thresholds: choose new thresholds on that share, too. Otherwise thresholds keep their probabilities.

    Raises:
        InputError, ContractMismatch: as of ``predict_frozen`` and ``require_no_overlap``; a share that leaves no one on a side.
    """
    predictions = predict_frozen(frozen, store)
    rows = np.flatnonzero(store.index["record_id"].isin(predictions["record_id"]))
    seen = require_no_overlap(store, frozen.folder, overlap, {EXTERNAL: rows}, "trained")
    index = store.index.set_index("record_id")
    groups = index[[c for c in params.evaluate.subgroups if c in index]]
    recalibrated = None
    if share is not None:
        predictions = _set_apart(predictions, frozen, share, params.seed, str(store.path))
        recalibrated = recalibrate(frozen.decision, predictions, frozen.model, params, new_thresholds)
    held_out = predictions[predictions["split"] == EXTERNAL]
    figures = evaluate(
        held_out, params.evaluate, params.seed, None, frozen.model, decision=frozen.decision, groups=groups
    )
    if recalibrated is not None:
        again = evaluate(
            held_out, params.evaluate, params.seed, None, frozen.model, decision=recalibrated, groups=groups
        )
        figures["recalibrated"] = {
            "share": share,
            "thresholds": "refitted" if new_thresholds else "as frozen",
            **{key: again[key] for key in ("decision", "models", "net_benefit", "subgroups")},
        }
    figures["external"] = _about(frozen, store, rows) | {"overlap": seen}
    return External(figures, predictions, recalibrated)


def recalibrate(
    decision: Decision, predictions: pd.DataFrame, model: str, params: Params, new_thresholds: bool = False
) -> Decision:
    """Fit new calibrators on the rows of split ``val``. A label with too few events keeps its calibrator, with a reason.

    Args:
        decision: frozen.
        predictions: of the new site.
        model: its name in the table.
        params: section ``evaluate``.
        new_thresholds: choose new thresholds. Otherwise each keeps its probability and so its risk.
    """
    method = "linear" if decision.kind == "regression" else params.evaluate.calibration
    fresh = fit_from_predictions(predictions, model, params.evaluate, FITTED, method)
    labels = []
    for old, new in zip(decision.labels, fresh.labels, strict=True):
        unfitted = bool(new.calibrator.reason) and new.calibrator.method in ("none", "linear")
        calibrator = _kept(old.calibrator, new.calibrator.reason) if unfitted else new.calibrator
        thresholds = new.thresholds if new_thresholds and not unfitted else old.thresholds
        labels.append(replace(new, calibrator=calibrator, thresholds=thresholds))
    return Decision(decision.kind, tuple(labels), fresh.fitted_on | {"split": "a share of the new site"})


def _kept(calibrator: Calibrator, reason: str) -> Calibrator:
    return replace(calibrator, reason=f"kept from the first site: {reason}")


def _values(frozen: FrozenRun, store: Store) -> Array:
    names, kind = list(frozen.classifier.targets), frozen.classifier.kind
    targets = [names[0].rpartition(":")[0]] if kind == "multiclass" else names
    there = [t for t in targets if t in store.targets or (t == AGE and AGE in store.index)]
    where = str(store.path)
    if not there:
        what = f"has none of the model's targets: {', '.join(targets)}"
        raise InputError(Problem(where, "targets", what, f"Name its columns so; it has: {', '.join(store.targets)}"))
    task = resolve_task(store, there)
    if task.kind != kind:
        what = f"{', '.join(there)} is {task.kind} here, the model's is {kind}"
        raise InputError(Problem(where, "targets", what, "Declare the columns as they were for the model"))
    if kind == "multiclass" and list(task.outputs) != names:
        what = f"classes are {', '.join(task.classes)}, the model's {', '.join(n.rpartition(':')[2] for n in names)}"
        raise InputError(Problem(where, targets[0], what, "Declare the same classes in the same order"))
    found = task_values(store, task)
    if kind == "multiclass":
        return found
    values = np.full((len(store), len(names)), np.nan)
    values[:, [names.index(t) for t in there]] = found
    return values


def _set_apart(predictions: pd.DataFrame, frozen: FrozenRun, share: float, seed: int, where: str) -> pd.DataFrame:
    """The table with a share of the patients, stratified by target, in split ``val``."""
    if not 0 < share < 1:
        what = f"{share:g} is not above 0 and below 1"
        raise InputError(Problem("recalibration", "share", what, "Use for example 0.5"))
    targets = predictions[[f"target__{n}" for n in frozen.classifier.targets]].to_numpy(dtype=float)
    strata = np.zeros_like(targets) if frozen.classifier.kind == "regression" else targets
    chosen: NDArray[np.bool_] = label_fraction(strata, predictions["patient"], share, seed)
    if chosen.all() or not chosen.any():
        what = f"a share of {share:g} of {predictions['patient'].nunique()} patients leaves none on one side"
        raise InputError(Problem(where, "recalibration", what, "Use another share, or a larger cohort"))
    return predictions.assign(split=np.where(chosen, FITTED, EXTERNAL))


def _about(frozen: FrozenRun, store: Store, rows: NDArray[np.int64]) -> dict[str, Any]:
    mask = store.lead_mask(rows)
    missing = {lead: int(n) for lead, n in zip(store.spec.leads, (~mask).sum(axis=0), strict=True) if n}
    rejected = pd.read_csv(store.path / layout.REJECTED, dtype=str)["reason"]
    absent = [
        n for n in frozen.classifier.targets if n.rpartition(":")[0] not in store.targets and n not in store.index
    ]
    return {
        "set": store.described["set"],
        "recordings": len(store) + len(rejected),
        "rejected": dict(sorted(Counter(rejected).items())),
        "without_known_target": len(store) - len(rows),
        "judged": len(rows),
        "leads": {"all": int(mask.all(axis=1).sum()), "missing": missing},
        "absent_targets": absent,
    }


EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"


def store_of(out: Path) -> Path:
    """Return the folder of the store of a cohort that is evaluated from its table."""
    return out.with_name(f"{out.name}-store")


def evaluate_external(
    run: Path | str,
    params: Params,
    out: Path,
    store: Path | None = None,
    *,
    overlap: Literal["error", "warn"] = "error",
    share: float | None = None,
    new_thresholds: bool = False,
) -> External:
    """Evaluate a stored run on a cohort and write ``evaluation.json`` and ``predictions.csv`` into a new folder.

    Args:
        run: folder of a run, or of its classifier.
        params: sections ``evaluate`` and, without a store, ``data``, ``quality`` and ``store``; ``signal`` is the run's.
        out: folder to make; one that holds an evaluation already is replaced.
        store: of the cohort; without it the cohort of ``params.data`` is preprocessed under the run's contract, into
            ``OUT-store`` beside ``out``.
        overlap, share, new_thresholds: as of ``evaluate_frozen``.

    Raises:
        InputError, ContractMismatch: as of ``evaluate_frozen`` and of preprocessing.
    """
    frozen = load_frozen(run)
    options: dict[str, Any] = {"overlap": overlap, "share": share, "new_thresholds": new_thresholds}
    if store is not None:
        found = evaluate_frozen(frozen, Store(store), params, **options)
    else:
        own = params.model_copy(update={"signal": frozen.spec})
        cohort = load(own.data, "data/raw", own.seed)
        beside = store_of(out)
        preprocess(cohort, own, beside, load_or_make_key(own.data.patient_key))
        found = evaluate_frozen(frozen, Store(beside), own, **options)
    with atomic_directory(out, marker=EVALUATION) as folder:
        write_json(folder / EVALUATION, found.figures)
        write_predictions(found.predictions, folder / PREDICTIONS)
        if found.recalibrated is not None:
            found.recalibrated.save(folder)
    return found


def recalibrate_run(
    run: Path | str,
    params: Params,
    store: Path,
    out: Path,
    *,
    share: float,
    new_thresholds: bool = False,
    overlap: Literal["error", "warn"] = "error",
) -> External:
    """Write a new run: the classifier of ``run`` with calibrators learned from a share of a store's patients.

    Weights, contract and choices are copied; ``decision.json``, ``predictions.csv`` and ``evaluation.json`` are the new
    site's.

    Args:
        run, params, store, share, new_thresholds, overlap: as of ``evaluate_external``; a share is needed.
        out: folder of the new run.

    Raises:
        InputError, ContractMismatch: as of ``evaluate_frozen``; or ``out`` is the run itself.
    """
    frozen = load_frozen(run)
    if out.absolute() in (Path(run).absolute(), frozen.folder.absolute()):
        raise InputError(Problem(str(out), "output folder", "is the run itself", "Use a new folder"))
    options: dict[str, Any] = {"overlap": overlap, "share": share, "new_thresholds": new_thresholds}
    found = evaluate_frozen(frozen, Store(store), params, **options)
    assert found.recalibrated is not None
    with atomic_directory(out / "classifier", marker=CONFIG) as folder:
        for file in sorted(frozen.folder.iterdir()):
            if file.is_file() and file.name not in (FILE, PREDICTIONS):
                shutil.copyfile(file, folder / file.name)
        found.recalibrated.save(folder)
        write_predictions(found.predictions, folder / PREDICTIONS)
    write_json(out / EVALUATION, found.figures)
    return found

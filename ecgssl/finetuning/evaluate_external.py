"""External evaluation of a stored run on another cohort, and recalibration. The weights are not changed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import OneSet, Params
from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.datasets.load import load_set
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import FILE, KEPT, Decision, fit_from_predictions
from ecgssl.evaluation.calibration.decision_text import has_calibrator
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import prediction_table, write_predictions
from ecgssl.evaluation.scoring_log import log_scorings
from ecgssl.evaluation.statistics.metrics import Array
from ecgssl.files import atomic_directory, write_json
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline
from ecgssl.finetuning.clinical_file import read_baseline
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.pretraining_overlap import require_no_overlap
from ecgssl.finetuning.rows import label_fraction, lead_subset
from ecgssl.finetuning.task import has_target, resolve_task, task_values
from ecgssl.model.classifier import Classifier
from ecgssl.output_lock import exclusive
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.lead_sets import shown_leads
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.choose_key import choose_key
from ecgssl.store.settings import model_settings, require_settings
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier
from ecgssl.training.model_folder import CONFIG, read_json

FITTED = "val"
"""Split name that is given to the recordings used to fit new calibrators."""


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


@dataclass(frozen=True)
class External:
    """Result of an external evaluation.

    Args:
        figures: results of ``evaluate``, with a description of the cohort under ``external`` and, after recalibration,
            the results with new calibrators under ``recalibrated``.
        predictions: prediction table. Recordings used to fit new calibrators have split ``val``, all others
            ``external``.
        recalibrated: new calibrators and thresholds; ``None`` without recalibration.
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
    split: str | None = None,
    cache: Path | None = None,
) -> External:
    """Evaluate a stored run on an external cohort.

    Args:
        frozen: stored run.
        store: store with the preprocessing settings of the run.
        params: parameters; the section ``evaluate`` and the seed are used.
        overlap: ``error`` to raise an error if the run was trained on recordings or patients of the cohort; ``warn`` to
            only note this in the results.
        share: share of the cohort's patients to which new calibrators are fitted. The other patients are evaluated with
            the old and the new calibrators. ``None`` for no recalibration.
        new_thresholds: also choose new thresholds on this share of the patients; by default they are unchanged.
        split: split of the store to evaluate; by default all recordings.
        cache: see ``predict_frozen``.

    Raises:
        InputError, ContractMismatch: see ``predict_frozen`` and ``require_no_overlap``. InputError is also raised if
            ``share`` is not between 0 and 1, or leaves no patients for the fit or for the evaluation.
    """
    predictions = predict_frozen(frozen, store, None if split is None else store.rows(split), cache)
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
        # the clinical baseline is not recalibrated
        own = held_out[held_out["model"] == frozen.model]
        again = evaluate(own, params.evaluate, params.seed, None, frozen.model, decision=recalibrated, groups=groups)
        figures["recalibrated"] = {
            "share": share,
            "thresholds": "refitted" if new_thresholds else "as frozen",
            **{key: again[key] for key in ("decision", "models", "net_benefit", "subgroups")},
        }
    figures["external"] = _about(frozen, store, rows, split) | {"overlap": seen}
    return External(figures, predictions, recalibrated)


def recalibrate(
    decision: Decision, predictions: pd.DataFrame, model: str, params: Params, new_thresholds: bool = False
) -> Decision:
    """Return a decision whose calibrators are fitted to the rows of split ``val``.

    A label whose calibrator cannot be fitted keeps its old calibrator and thresholds. The field ``reason`` of the
    calibrator then says why.

    Args:
        decision: calibrators and thresholds of the stored run.
        predictions: prediction table of the external cohort.
        model: name of the model in the table.
        params: parameters; the section ``evaluate`` is used.
        new_thresholds: also choose new thresholds; by default the thresholds, which are probabilities, are unchanged.
    """
    method = "linear" if decision.kind == "regression" else params.evaluate.calibration
    fresh = fit_from_predictions(predictions, model, params.evaluate, FITTED, method)
    labels = []
    for old, new in zip(decision.labels, fresh.labels, strict=True):
        unfitted = bool(new.calibrator.reason) and new.calibrator.method in ("none", "linear")
        calibrator = _kept(old.calibrator, new.calibrator.reason) if unfitted else new.calibrator
        thresholds = new.thresholds if new_thresholds and not unfitted else old.thresholds
        labels.append(replace(new, calibrator=calibrator, thresholds=thresholds))
    about = {"split": "a share of the new site", "thresholds": "refitted" if new_thresholds else "as frozen"}
    return Decision(decision.kind, tuple(labels), fresh.fitted_on | about)


def _kept(calibrator: Calibrator, reason: str) -> Calibrator:
    return replace(calibrator, reason=f"{KEPT}: {reason}")


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


def _set_apart(predictions: pd.DataFrame, frozen: FrozenRun, share: float, seed: int, where: str) -> pd.DataFrame:
    """Return the table with a share of the patients in split ``val``, stratified by label except for a regression."""
    if not 0 < share < 1:
        what = f"{share:g} is not between 0 and 1"
        raise InputError(Problem("recalibration", "share", what, "Use a share such as 0.5"))
    targets = predictions[[f"target__{n}" for n in frozen.classifier.targets]].to_numpy(dtype=float)
    strata = np.zeros_like(targets) if frozen.classifier.kind == "regression" else targets
    chosen: NDArray[np.bool_] = label_fraction(strata, predictions["patient"], share, seed)
    if chosen.all() or not chosen.any():
        what = f"with a share of {share:g} of {predictions['patient'].nunique()} patients, one part is empty"
        raise InputError(Problem(where, "recalibration", what, "Use a share closer to 0.5, or a larger cohort"))
    return predictions.assign(split=np.where(chosen, FITTED, EXTERNAL))


def _about(frozen: FrozenRun, store: Store, rows: NDArray[np.int64], split: str | None) -> dict[str, Any]:
    """Describe the evaluated recordings. The split of rejected recordings is unknown, so they count only without a split."""
    mask = store.lead_mask(rows)
    missing = {lead: int(n) for lead, n in zip(store.spec.leads, (~mask).sum(axis=0), strict=True) if n}
    rejected = [] if split else pd.read_csv(store.path / layout.REJECTED, dtype=str)["reason"].tolist()
    stored = len(store) if split is None else len(store.rows(split))
    outputs = frozen.classifier.targets
    absent = [n for n in outputs if not (has_target(store, n) or has_target(store, n.rpartition(":")[0]))]
    return {
        "set": store.described["set"],
        "recordings": stored + len(rejected),
        "rejected": dict(sorted(Counter(rejected).items())),
        "without_known_target": stored - len(rows),
        "judged": len(rows),
        "leads": {"all": int(mask.all(axis=1).sum()), "missing": missing},
        "absent_targets": absent,
        "clinical_baseline": {
            "left_out": frozen.no_clinical or None,
            "unknown_inputs": [] if frozen.clinical is None else frozen.clinical.unknown_people(store, rows),
        },
    } | ({"split": split} if split else {})


EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"


def store_of(out: Path) -> Path:
    """Return the folder of the store that ``evaluate_external`` writes if it is called without a store."""
    return out.with_name(f"{out.name}-store")


def evaluate_external(
    run: Path | str,
    params: Params,
    out: Path,
    cohort: Path | OneSet,
    *,
    overlap: Literal["error", "warn"] = "error",
    share: float | None = None,
    new_thresholds: bool = False,
    overrides: Sequence[str] = (),
) -> External:
    """Evaluate a stored run on a cohort and write ``evaluation.json`` and ``predictions.csv`` to a folder.

    After recalibration, ``decision.json`` with the new calibrators and thresholds is written too.

    Args:
        run: folder of a run, its classifier folder, or the name of a shipped classifier.
        params: parameters, of which section ``evaluate`` and the seed are used.
        out: output folder; an existing evaluation is replaced.
        cohort: store of the cohort, or a set. A set is preprocessed with the settings of the run and with the sections
            ``quality`` and ``store`` of its parameters, and stored in the folder ``store_of(out)``.
        overlap, share, new_thresholds: see ``evaluate_frozen``.
        overrides: ``section.key=value`` strings that were already applied to ``params``. If a set is preprocessed,
            an override of ``signal`` that differs from the settings of the run is an error.

    Raises:
        InputError, ContractMismatch: see ``evaluate_frozen`` and ``ecgssl.preprocessing.preprocess``.
    """
    options: dict[str, Any] = {"overlap": overlap, "share": share, "new_thresholds": new_thresholds}
    with exclusive(out):
        frozen = load_frozen(run)
        if isinstance(cohort, Path):
            found = evaluate_frozen(frozen, Store(cohort), params, **options)
        else:
            fix = "train a model with this setting"
            require_settings(overrides, cohort.params, model_settings(frozen.spec), str(run), fix)
            own, data, beside = cohort.params.model_copy(update={"signal": frozen.spec}), cohort.data, store_of(out)
            with cohort.messages():
                key = choose_key(data, own.seed, beside)
                preprocess(load_set(cohort), own, beside, key, overlap=data.overlap)
            found = evaluate_frozen(frozen, Store(beside), params, **options)
        with atomic_directory(out, marker=EVALUATION) as folder:
            write_json(folder / EVALUATION, found.figures)
            write_predictions(found.predictions, folder / PREDICTIONS)
            if found.recalibrated is not None:
                found.recalibrated.save(folder)
        log_scorings(out.parent, found.figures, out.name)
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
    """Write a copy of a run with calibrators that are fitted to a share of the patients of a store.

    The files of the classifier are copied, except ``decision.json`` and ``predictions.csv``. These two and
    ``evaluation.json`` are computed from the recordings of the store.

    Args:
        run, params, store, share, new_thresholds, overlap: see ``evaluate_external``; ``share`` is required.
        out: folder of the new run.

    Raises:
        InputError, ContractMismatch: see ``evaluate_frozen``. InputError is also raised if ``out`` is the folder of
            ``run`` or its classifier folder.
    """
    with exclusive(out):
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
        log_scorings(out.parent, found.figures, out.name)
        return found

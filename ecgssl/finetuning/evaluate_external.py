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
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import FILE, KEPT, Decision, fit_from_predictions
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import patients_of, write_predictions
from ecgssl.evaluation.scoring_log import log_scorings
from ecgssl.files import atomic_directory, write_json
from ecgssl.finetuning.frozen_run import FrozenRun, load_frozen, predict_frozen
from ecgssl.finetuning.pretraining_overlap import require_no_overlap
from ecgssl.finetuning.rows import label_fraction
from ecgssl.finetuning.task import has_target
from ecgssl.output_lock import exclusive
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store import layout
from ecgssl.store.choose_key import choose_key
from ecgssl.store.settings import model_settings, require_settings
from ecgssl.store.store import Store
from ecgssl.training.model_folder import CONFIG

FITTED = "val"
"""Split name that is given to the recordings used to fit new calibrators."""


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


def _set_apart(predictions: pd.DataFrame, frozen: FrozenRun, share: float, seed: int, where: str) -> pd.DataFrame:
    """Return the table with a share of the patients in split ``val``, stratified by label except for a regression."""
    if not 0 < share < 1:
        what = f"{share:g} is not between 0 and 1"
        raise InputError(Problem("recalibration", "share", what, "Use a share such as 0.5"))
    targets = predictions[[f"target__{n}" for n in frozen.classifier.targets]].to_numpy(dtype=float)
    strata = np.zeros_like(targets) if frozen.classifier.kind == "regression" else targets
    chosen: NDArray[np.bool_] = label_fraction(strata, patients_of(predictions), share, seed)
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
            "nonlinear": frozen.clinical is not None and frozen.clinical.network is not None,
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

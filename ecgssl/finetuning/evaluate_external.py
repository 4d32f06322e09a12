"""External evaluation and recalibration from a run's folder to a folder of results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from ecgssl.config import Params
from ecgssl.datasets import load
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import FILE
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.files import atomic_directory, write_json
from ecgssl.finetuning.frozen import External, evaluate_frozen, load_frozen
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.patient_key import load_or_make_key
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import CONFIG

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"


def store_of(out: Path) -> Path:
    """Where a cohort that is judged from its table is stored."""
    return out.with_name(f"{out.name}-store")


def judge_elsewhere(
    run: Path | str,
    params: Params,
    out: Path,
    store: Path | None = None,
    *,
    overlap: Literal["error", "warn"] = "error",
    share: float | None = None,
    new_thresholds: bool = False,
) -> External:
    """Judge a frozen run on a cohort and write ``evaluation.json`` and ``predictions.csv`` into a new folder.

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


def recalibrated_run(
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
        run, params, store, share, new_thresholds, overlap: as of ``judge_elsewhere``; a share is needed.
        out: folder of the new run.

    Raises:
        InputError, ContractMismatch: as of ``evaluate_frozen``; or ``out`` is the run itself.
    """
    frozen = load_frozen(run)
    if out.absolute() in (Path(run).absolute(), frozen.folder.absolute()):
        raise InputError(Problem(str(out), "output folder", "is the run itself", "Name a new one: the first run stays"))
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

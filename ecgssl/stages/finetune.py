"""Stage finetune: fine-tuning of a pretrained encoder for one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision, fit_from_predictions
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.finetuning.cross_validation import cross_validate
from ecgssl.finetuning.draws import finetune_draws
from ecgssl.finetuning.finetune import FinetuneResult, Mode
from ecgssl.finetuning.publish import publish_finetuning
from ecgssl.signal.lead_sets import named_leads, shown_leads
from ecgssl.store.store import Store
from ecgssl.tracking.runs import TrackedRun
from ecgssl.training.origin import warn_of_synthetic


@dataclass(frozen=True)
class Finetuned:
    """Result of stage finetune.

    Args:
        result: classifier, predictions and selected hyperparameters of the fine-tuning.
        folds: tables of out-of-fold predictions of a repeated cross-validation, one per repetition; empty without
            cross-validation.
    """

    result: FinetuneResult
    folds: list[pd.DataFrame] = field(default_factory=list)


def finetune_encoder(
    params: Params,
    store: Store,
    encoder: Path | str,
    targets: Sequence[str],
    mode: Mode,
    out: Path,
    work: Path,
    run: TrackedRun,
    *,
    task: str,
    share: float = 1.0,
    recorded: str = "12lead",
    cross_validated: bool = False,
    show_progress: bool = True,
) -> Finetuned:
    """Fine-tune an encoder, and write the classifier with its predictions, thresholds and selected hyperparameters.

    Args:
        params: parameters, of which sections ``finetune`` and ``evaluate`` and the seed are used.
        store: store with the recordings and the targets.
        encoder: folder of a pretrained encoder or of a bundle.
        targets: names of the target columns.
        mode: ``linear``, ``mlp``, ``attentive``, ``full`` or ``scratch``.
        out: output folder of the fine-tuned model. With several draws of the training labels, the predictions of the
            other draws are written to ``draw-N.csv``. Out-of-fold predictions are written to the folder ``folds`` next
            to ``out``.
        work: folder for cached embeddings and for the state from which a stopped run resumes.
        run: MLflow run to log to.
        task: name of the task, stored in the configuration of the model.
        share: proportion of the training patients with labels that are used.
        recorded: recorded leads, as lead names separated by commas or as name of a lead set
            (``ecgssl.signal.lead_sets``).
        cross_validated: use repeated cross-validation over all recordings instead of the splits. Only with mode
            ``linear`` and ``share=1``.
        show_progress: whether to show progress bars on a terminal.

    Raises:
        InputError: the lead names are invalid, or ``cross_validated`` is combined with another mode or share.
        InputError, ContractMismatch: see ``ecgssl.finetuning.finetune.finetune`` and ``cross_validate``.
    """
    run.log_params({"task": task, "mode": mode, "share": share, "leads": recorded})
    run.log_params(params.finetune.model_dump(mode="json"))
    names = named_leads(recorded)
    shown = shown_leads(names, store.spec.leads)
    leads = None if shown == store.spec.leads else shown
    draws: list[pd.DataFrame] = []
    folds: list[pd.DataFrame] = []
    if cross_validated:
        _require_plain(mode, share)
        found = cross_validate(
            store, encoder, targets, params.finetune, params.seed, work, leads=leads, show_progress=show_progress
        )
        result, folds = found.final, found.repetitions
    else:
        drawn = finetune_draws(
            store, encoder, targets, mode, params.finetune, params.seed, work,
            share=share, leads=leads, show_progress=show_progress,
        )  # fmt: skip
        result, draws = drawn.result, drawn.others
    warn_of_synthetic(result.encoder)
    more = {"share": share, "recorded_leads": list(names)}
    decision = _decision(result, mode, params, cross_validated)
    publish_finetuning(result, store, out, task, mode, decision=decision, more=more)
    for number, predictions in enumerate(draws, 1):
        write_predictions(predictions, out / f"draw-{number}.csv")
    for number, predictions in enumerate(folds):
        write_predictions(predictions, out.parent / "folds" / f"repetition-{number}.csv")
    for row in result.history:
        run.log_metrics({name: value for name, value in row.items() if value == value}, step=int(row["epoch"]))
    run.log_artifact(out / "choices.json")
    return Finetuned(result, folds)


def _decision(result: FinetuneResult, mode: Mode, params: Params, cross_validated: bool) -> Decision:
    """Fit calibration and thresholds on the validation split, or on out-of-fold predictions of a cross-validation."""
    if not cross_validated:
        return fit_from_predictions(result.predictions, mode, params.evaluate)
    decision = fit_from_predictions(result.predictions, mode, params.evaluate, "test")
    return replace(decision, fitted_on={**decision.fitted_on, "split": "out-of-fold predictions"})


def _require_plain(mode: Mode, share: float) -> None:
    problems = []
    if mode != "linear":
        what = f"is {mode!r}, but cross-validation supports the linear probe only"
        problems.append(Problem("finetune", "--mode", what, "Remove --mode or --folds"))
    if share != 1:
        problems.append(Problem("finetune", "--share", "cannot be combined with --folds", "Remove --share or --folds"))
    if problems:
        raise InputError(problems)

"""One fine-tuning from recordings to figures, in one folder: what the command and a notebook call."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision, fit_from_predictions
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import entry, leaderboard
from ecgssl.evaluation.plots import draw_reliability, draw_roc
from ecgssl.evaluation.predictions import BASELINE, kind_of, write_predictions
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.files import write_atomic, write_json
from ecgssl.finetuning.cross_validation import cross_validate
from ecgssl.finetuning.finetune import FinetuneResult, Mode, finetune, publish_finetuning
from ecgssl.signal.drawing import png_bytes
from ecgssl.signal.lead_sets import named_leads, shown_leads
from ecgssl.store.store import Store


@dataclass(frozen=True)
class Run:
    """What a run tells.

    Args:
        figures: of ``evaluate``, as in ``evaluation.json``.
        board: Markdown table of its headline.
        overlap: of its recordings with those of pretraining.
    """

    figures: dict[str, Any]
    board: str
    overlap: dict[str, Any]


def finetune_and_evaluate(
    store: Store,
    encoder_path: Path | str,
    targets: Sequence[str],
    mode: Mode,
    params: Params,
    out: Path,
    *,
    share: float = 1.0,
    recorded: str = "12lead",
    cross_validated: bool = False,
    show_progress: bool = True,
) -> Run:
    """Fine-tune, evaluate and write ``out``: ``classifier``, ``evaluation.json``, figures.

    Args:
        store, encoder_path, targets, mode, share, show_progress: as of ``finetune``.
        params: sections ``finetune`` and ``evaluate``, and the seed.
        out: folder of the run.
        recorded: leads that are recorded: names separated by commas, or a set (``ecgssl.signal.lead_sets``).
        cross_validated: by repeated folds over all recordings, in place of the splits; ``linear`` and all labels only.

    Raises:
        InputError, ContractMismatch: as ``finetune`` and ``cross_validate``.
    """
    names = named_leads(recorded)
    shown = shown_leads(names, store.spec.leads)
    leads = None if shown == store.spec.leads else shown
    work = out / "work"
    repetitions: list[pd.DataFrame] = []
    if cross_validated:
        _require_plain(mode, share)
        found = cross_validate(
            store, encoder_path, targets, params.finetune, params.seed, work, leads=leads, show_progress=show_progress
        )
        result, repetitions = found.final, found.repetitions
    else:
        result = finetune(
            store, encoder_path, targets, mode, params.finetune, params.seed, work,
            share=share, leads=leads, show_progress=show_progress,
        )  # fmt: skip
    index = store.index.set_index("record_id")
    groups = index[[column for column in params.evaluate.subgroups if column in index]]
    figures = evaluate(result.predictions, params.evaluate, params.seed, main=mode, groups=groups)
    scored = None
    if repetitions:
        scored = score_repetitions(repetitions, mode, params.evaluate, params.seed, against=BASELINE)
        figures["cross_validation"] = {
            "folds": params.finetune.folds,
            "repeats": params.finetune.repeats,
            "macro": scored,
        }
    publish_finetuning(
        result, store, out / "classifier", ", ".join(targets), mode,
        decision=_decision(result, mode, params, cross_validated), more={"share": share, "recorded_leads": list(names)},
    )  # fmt: skip
    for number, table in enumerate(repetitions):
        write_predictions(table, out / "folds" / f"repetition-{number}.csv")
    write_json(out / "evaluation.json", figures)
    _draw(result, mode, out)
    shutil.rmtree(work, ignore_errors=True)
    told = entry(figures, ",".join(targets), mode, share, recorded, repetitions=scored)
    return Run(figures, leaderboard([told]), result.overlap)


def _decision(result: FinetuneResult, mode: Mode, params: Params, cross_validated: bool) -> Decision:
    """Fitted on validation; of a cross-validation on out-of-fold predictions, and then no figure is told of it."""
    if not cross_validated:
        return fit_from_predictions(result.predictions, mode, params.evaluate)
    decision = fit_from_predictions(result.predictions, mode, params.evaluate, "test")
    return replace(decision, fitted_on={**decision.fitted_on, "split": "out-of-fold predictions"})


def _require_plain(mode: Mode, share: float) -> None:
    problems = []
    if mode != "linear":
        remedy = "Leave out --mode, or --folds"
        problems.append(Problem("finetune", "mode", f"{mode!r} with folds: small cohorts get the linear probe", remedy))
    if share != 1:
        problems.append(Problem("finetune", "share", "has no meaning with folds", "Leave out --share, or --folds"))
    if problems:
        raise InputError(problems)


def _draw(result: FinetuneResult, mode: Mode, out: Path) -> None:
    if kind_of(result.predictions) == "regression":
        return
    write_atomic(out / "roc.png", png_bytes(draw_roc(result.predictions, main=mode, bootstrap=200)))
    write_atomic(out / "reliability.png", png_bytes(draw_reliability(result.predictions, model=mode)))

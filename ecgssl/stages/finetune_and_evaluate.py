"""Fine-tuning and evaluation in one run with one output folder, for local cohorts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgssl.config import Params
from ecgssl.evaluation.leaderboard import entry, leaderboard, named_mode
from ecgssl.finetuning.finetune import Mode
from ecgssl.output_lock import exclusive
from ecgssl.stages.evaluate import draw_curves, evaluate_predictions
from ecgssl.stages.finetune import finetune_encoder
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track


@dataclass(frozen=True)
class Run:
    """Result of fine-tuning and evaluation.

    Args:
        figures: metrics, with the same content as ``evaluation.json``.
        board: table of the main result in Markdown. Its mode states if no epoch improved on the linear probe.
        overlap: result of the leakage check between held-out recordings and pretraining data.
    """

    figures: dict[str, Any]
    board: str
    overlap: dict[str, Any]


def finetune_and_evaluate(
    params: Params,
    store: Store,
    encoder: Path | str,
    targets: Sequence[str],
    mode: Mode,
    out: Path,
    *,
    share: float = 1.0,
    recorded: str = "12lead",
    cross_validated: bool = False,
    show_progress: bool = True,
) -> Run:
    """Fine-tune an encoder and evaluate it on the test split, or by cross-validation if ``cross_validated`` is set.

    The folder ``classifier``, ``evaluation.json``, the ROC and reliability curves and any tables of folds are written
    to ``out``. The scoring is logged in the folder that contains ``out`` (``ecgssl.evaluation.scoring_log``).

    Args:
        params, store, encoder, targets, mode, share, recorded, cross_validated, show_progress: see
            ``ecgssl.stages.finetune.finetune_encoder``.
        out: output folder of the run.

    Raises:
        InputError, ContractMismatch: see ``finetune_encoder``.

    Example:
        >>> import ecgssl
        >>> from pathlib import Path
        >>> from ecgssl.config import load_params
        >>> from ecgssl.store.store import Store
        >>> run = ecgssl.finetune(
        ...     load_params("params.yaml"), Store("data/mine"), "runs/mine/pretrained", ["af"], "linear", Path("runs/af")
        ... )
        >>> sorted(run.figures["models"])
        ['clinical features', 'linear', 'random']
    """
    task, work = ", ".join(targets), out / "work"
    with exclusive(out) as lock, track("finetune", params, tags={"mode": mode}, lock=lock) as run:
        tuned = finetune_encoder(
            params, store, encoder, targets, mode, out / "classifier", work, run, task=task, share=share,
            recorded=recorded, cross_validated=cross_validated, show_progress=show_progress,
        )  # fmt: skip
        predictions = tuned.result.predictions
        figures = evaluate_predictions(
            predictions, params, out / "evaluation.json", main=mode, store=store, folds=tuned.folds, log=out.parent
        )
        repeated = figures["cross_validation"]["macro"] if tuned.folds else None
        probe = params.finetune.baseline_probe(mode)
        headline = entry(figures, ",".join(targets), mode, share, recorded, repetitions=repeated, baseline_probe=probe)
        run.log_metrics({f"test_{name}": value for name, value in headline.metrics().items()})
        for path in [out / "evaluation.json", *draw_curves(predictions, mode, out, params)]:
            run.log_artifact(path)
    shutil.rmtree(work, ignore_errors=True)
    shown = replace(headline, mode=named_mode(mode, tuned.result.choices))
    return Run(figures, leaderboard([shown]), tuned.result.overlap)

"""Stage evaluate: metrics with intervals for one fine-tuned model, and its ROC and reliability plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.config import Params
from ecgssl.evaluation.curves import reliability_rows, roc_rows, write_rows
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.plots import draw_reliability, draw_roc
from ecgssl.evaluation.predictions import BASELINE, kind_of
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.files import write_atomic, write_json
from ecgssl.signal.drawing import png_bytes
from ecgssl.store.store import Store


def evaluate_predictions(
    predictions: pd.DataFrame,
    params: Params,
    out: Path,
    *,
    main: str | None = None,
    store: Store | None = None,
    folds: Sequence[pd.DataFrame] = (),
) -> dict[str, Any]:
    """Compute the metrics of a prediction table and write them as JSON.

    Args:
        predictions: table of ``ecgssl.evaluation.predictions``.
        params: parameters; section ``evaluate`` and the seed are used.
        out: JSON file.
        main: reference model of the comparisons; by default chosen by ``ecgssl.evaluation.evaluate.evaluate``.
        store: store of the recordings, required for results by subgroup.
        folds: prediction tables of repeated cross-validation; their macro metrics are added.

    Returns:
        The metrics, as in the JSON file.

    Raises:
        InputError: see ``ecgssl.evaluation.evaluate.evaluate``.
    """
    groups = None
    if store is not None:
        index = store.index.set_index("record_id")
        groups = index[[column for column in params.evaluate.subgroups if column in index]]
    figures = evaluate(predictions, params.evaluate, params.seed, main=main, groups=groups)
    if folds and main is not None:
        macro = score_repetitions(folds, main, params.evaluate, params.seed, against=BASELINE)
        shape = {"folds": params.finetune.folds, "repeats": params.finetune.repeats}
        figures["cross_validation"] = {**shape, "macro": macro}
    write_json(out, figures)
    return figures


def draw_curves(predictions: pd.DataFrame, model: str, folder: Path, seed: int, suffix: str = "") -> list[Path]:
    """Draw ROC and reliability curves of a model, if it is a classifier.

    Args:
        predictions: table of ``ecgssl.evaluation.predictions``.
        model: name of the model in the table.
        folder: folder for ``roc{suffix}.png`` and ``reliability{suffix}.png``.
        seed: seed of the bootstrap of the ROC curve.
        suffix: text appended to the file names.

    Returns:
        The files written; empty for a regression.
    """
    if kind_of(predictions) == "regression":
        return []
    roc = draw_roc(predictions, main=model, bootstrap=200, seed=seed)
    figures = {"roc": roc, "reliability": draw_reliability(predictions, model=model)}
    return [write_atomic(folder / f"{name}{suffix}.png", png_bytes(figure)) for name, figure in figures.items()]


def write_curves(predictions: pd.DataFrame, folder: Path, suffix: str) -> None:
    """Write the points of ROC and reliability curves as JSON, which ``dvc plots`` draws."""
    write_rows(roc_rows(predictions), folder / f"roc{suffix}.json")
    write_rows(reliability_rows(predictions), folder / f"reliability{suffix}.json")

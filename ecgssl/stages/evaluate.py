"""Stage evaluate: metrics with confidence intervals, and ROC and reliability curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.config import Params
from ecgssl.evaluation.curves import reliability_rows, roc_rows, write_rows
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.plots import draw_reliability, draw_roc
from ecgssl.evaluation.predictions import baselines_of, first_of_each_patient, kind_of
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.evaluation.scoring_log import log_scorings
from ecgssl.files import write_atomic, write_json
from ecgssl.signal.figure_file import png_bytes
from ecgssl.store.store import Store


def evaluate_predictions(
    predictions: pd.DataFrame,
    params: Params,
    out: Path,
    *,
    main: str | None = None,
    store: Store | None = None,
    folds: Sequence[pd.DataFrame] = (),
    log: Path | None = None,
) -> dict[str, Any]:
    """Compute the metrics of a table of predictions and write them to a JSON file.

    Args:
        predictions: table in the format of ``ecgssl.evaluation.predictions``.
        params: parameters, of which section ``evaluate``, the seed and, with ``folds``, section ``finetune`` are used.
        out: path of the JSON file.
        main: reference model of the comparisons; for the default see ``ecgssl.evaluation.evaluate.evaluate``.
        store: store with the recordings, required for results by subgroup.
        folds: prediction tables of a repeated cross-validation. If ``main`` is given, their macro-averaged metrics are
            added to the result; otherwise they are ignored.
        log: folder of the log of scorings (``ecgssl.evaluation.scoring_log``); by default the folder of ``out``.

    Returns:
        The metrics, with the same content as the JSON file.

    Raises:
        InputError: see ``ecgssl.evaluation.evaluate.evaluate``.

    Example:
        >>> import ecgssl
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> from ecgssl.config import load_params
        >>> predictions = pd.read_csv("runs/af/classifier/predictions.csv")
        >>> figures = ecgssl.evaluate(predictions, load_params("params.yaml"), Path("runs/af/again.json"), main="linear")
        >>> figures["labels"]
        ['af']
    """
    groups = None
    if store is not None:
        index = store.index.set_index("record_id")
        groups = index[[column for column in params.evaluate.subgroups if column in index]]
    figures = evaluate(predictions, params.evaluate, params.seed, main=main, groups=groups)
    if folds and main is not None:
        macro = score_repetitions(folds, main, params.evaluate, params.seed, against=baselines_of(predictions))
        shape = {"folds": params.finetune.folds, "repeats": params.finetune.repeats}
        figures["cross_validation"] = {**shape, "macro": macro}
    write_json(out, figures)
    folder = out.parent if log is None else log
    log_scorings(folder, figures, os.path.relpath(out, folder))
    return figures


def draw_curves(predictions: pd.DataFrame, model: str, folder: Path, params: Params, suffix: str = "") -> list[Path]:
    """Draw the ROC and reliability curves of a classifier as PNG files.

    Args:
        predictions: table of ``ecgssl.evaluation.predictions``.
        model: name of the model in the table.
        folder: output folder for ``roc{suffix}.png`` and ``reliability{suffix}.png``.
        params: parameters, of which section ``evaluate`` and the seed are used. The intervals are those of
            ``evaluate_predictions``.
        suffix: text appended to the file names.

    Returns:
        Paths of the files; empty for a regression model.
    """
    if kind_of(predictions) == "regression":
        return []
    resampling, seed = params.evaluate, params.seed
    table = first_of_each_patient(predictions) if resampling.one_per_patient else predictions
    roc = draw_roc(table, main=model, bootstrap=resampling.bootstrap, confidence=resampling.confidence, seed=seed)
    figures = {"roc": roc, "reliability": draw_reliability(table, model=model)}
    return [write_atomic(folder / f"{name}{suffix}.png", png_bytes(figure)) for name, figure in figures.items()]


def write_curves(predictions: pd.DataFrame, folder: Path, suffix: str) -> None:
    """Write the curve points for ``dvc plots`` to ``roc{suffix}.json`` and ``reliability{suffix}.json`` in ``folder``."""
    write_rows(roc_rows(predictions), folder / f"roc{suffix}.json")
    write_rows(reliability_rows(predictions), folder / f"reliability{suffix}.json")

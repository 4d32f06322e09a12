"""Files of a fine-tuned model: classifier, predictions, choices, and the identities of its training recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgssl.config.finetune import Mode
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.files import atomic_directory, write_json
from ecgssl.finetuning.clinical_file import write_baseline
from ecgssl.finetuning.finetune import FinetuneResult
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import write_model
from ecgssl.training.model_folder import CONFIG


def publish_finetuning(
    result: FinetuneResult,
    store: Store,
    out: Path,
    task: str,
    mode: Mode,
    *,
    decision: Decision | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the classifier, ``predictions.csv`` and ``choices.json`` atomically into a folder.

    ``decision.json``, ``clinical_baseline.json`` and the identities of the training recordings are written if they are
    given.

    Args:
        result: result of ``finetune``.
        store: store used for fine-tuning.
        out: output folder; an existing model folder is replaced.
        task, mode: names of task and mode for the configuration of the classifier.
        decision: calibrators and thresholds of the classifier.
        more: additional entries of the configuration, such as the leads used in training.
    """
    with atomic_directory(out, marker=CONFIG) as folder:
        about: dict[str, Any] = {"task": task, "mode": mode, "data": store.described, "overlap": result.overlap}
        if result.encoder is not None:
            about["encoder"] = result.encoder
        about |= more or {}
        if result.task.kind == "multiclass":
            about["classes"] = list(result.task.classes)
        if result.task.kind == "regression":
            about["units"] = dict(zip(result.task.outputs, result.task.units, strict=True))
        write_model(folder, result.classifier, store.spec, about)
        if result.clinical is not None:
            write_baseline(result.clinical, folder)
        if result.learned is not None:
            result.learned.write(folder)
        if decision is not None:
            decision.save(folder)
        write_predictions(result.predictions, folder / "predictions.csv")
        history = [{k: None if math.isnan(v) else v for k, v in row.items()} for row in result.history]
        write_json(folder / "choices.json", {"choices": result.choices, "history": history})

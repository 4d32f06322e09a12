"""Predictions of a fine-tuned model from a subset of its training leads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.rows import choose_rows, lead_subset
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.signal.lead_sets import LEAD_SETS, shown_leads
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier


def predict_with_leads(
    model_path: Path | str, store: Store, targets: Sequence[str], mode: str, leads: str
) -> pd.DataFrame:
    """Return the predictions for the validation and test recordings if the model receives only some of its leads.

    The model receives the leads of the lead set and the limb leads derived from them; all other leads are masked. It is
    not trained again. Recordings without any of these leads or without a known target are excluded.

    Args:
        model_path: folder of the classifier.
        store: store with the preprocessing settings of the model.
        targets: targets of the model.
        mode: name of the model in the prediction table.
        leads: name of the lead set to use (``ecgssl.signal.lead_sets``).

    Raises:
        InputError: the model is missing or its targets differ from ``targets``.
        ContractMismatch: model and store have different preprocessing settings.
    """
    classifier, _ = load_classifier(model_path, store.spec, str(store.path))
    task = resolve_task(store, targets)
    if classifier.targets != task.outputs:
        what = f"the model predicts {', '.join(classifier.targets)}, but the task has {', '.join(task.outputs)}"
        raise InputError(Problem(str(model_path), "targets", what, "Use the targets of the model"))
    values = task_values(store, task)
    seen = lead_subset(store, shown_leads(LEAD_SETS[leads], store.spec.leads))
    chosen = choose_rows(store, values, seen)
    rows = np.concatenate([chosen.val, chosen.test])
    index = store.index.iloc[rows]
    return prediction_table(
        index["record_id"].tolist(),
        index["patient"].tolist(),
        index["split"].tolist(),
        mode,
        task.outputs,
        values[rows],
        predict_logits(classifier, store, rows, seen),
        task.kind,
    )

"""The protocol of a comparison: tasks, modes, shares of the labels and leads, every setting run and told alike.

A setting names no split. What trains, selects and scores are the train, validation and test recordings of the store, for
all settings the same; a share takes patients out of train alone, and a set of leads hides the others everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.config import FinetuneParams, Params
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.finetuning.finetune import FinetuneResult, Mode, finetune
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.rows import choose_rows, lead_subset, share_of
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.signal.lead_sets import LEAD_SETS, shown_leads
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier


@dataclass(frozen=True)
class Setting:
    """One cell of the matrix.

    Args:
        task: its name in ``tasks``.
        mode: of fine-tuning.
        share: of the train patients whose labels are used.
        leads: set of recorded leads (``ecgssl.signal.lead_sets``).
    """

    task: str
    mode: Mode
    share: float
    leads: str

    @property
    def key(self) -> str:
        """Name of its folders, as DVC's matrix spells it."""
        return f"{self.task}-{self.mode}-{self.share}-{self.leads}"

    def about(self) -> dict[str, str | float]:
        """For tags and parameters of its run."""
        return {"task": self.task, "mode": self.mode, "share": self.share, "leads": self.leads}


def settings(params: Params) -> Iterator[Setting]:
    """Every setting of the matrix; the first share and the first lead set of each task and mode come first."""
    for task in params.tasks:
        for mode in params.finetune.modes:
            for share in params.finetune.fractions:
                for leads in params.finetune.lead_sets:
                    yield Setting(task, mode, share, leads)


def reference(params: Params, task: str, mode: Mode) -> Setting:
    """The setting that the others of its task and mode are compared with, and that is exported."""
    return Setting(task, mode, params.finetune.fractions[0], params.finetune.lead_sets[0])


@dataclass
class SettingResult:
    """Fine-tuned models of one setting.

    Args:
        result: of the first draw.
        others: prediction tables of the other draws of its share.
    """

    result: FinetuneResult
    others: list[pd.DataFrame]


def finetune_draws(
    store: Store,
    encoder_path: Path | str,
    targets: Sequence[str],
    mode: Mode,
    params: FinetuneParams,
    seed: int,
    work: Path,
    *,
    share: float = 1.0,
    leads: Sequence[str] | None = None,
    show_progress: bool = True,
) -> SettingResult:
    """Fine-tune once, or for a share below 1 ``params.draws`` times, each time with other patients.

    All draws start from the same encoders under the same seed, so that only the patients differ.

    Args:
        store, encoder_path, targets, mode, params, seed, work, share, leads, show_progress: as of ``finetune``.

    Raises:
        InputError, ContractMismatch: as ``finetune``.
    """
    first = finetune(
        store, encoder_path, targets, mode, params, seed, work,
        share=share, leads=leads, show_progress=show_progress,
    )  # fmt: skip
    others = []
    values = task_values(store, resolve_task(store, targets))
    for draw in range(1, params.draws if share < 1 else 1):
        rows = {split: store.rows(split) for split in ("val", "test")}
        rows["train"] = share_of(store, values, store.rows("train"), share, seed + draw)
        drawn = finetune(
            store, encoder_path, targets, mode, params, seed, work,
            leads=leads, rows=rows, show_progress=show_progress,
        )  # fmt: skip
        others.append(drawn.predictions)
    return SettingResult(first, others)


def predict_with_leads(
    model_path: Path | str, store: Store, targets: Sequence[str], mode: str, leads: str
) -> pd.DataFrame:
    """Predictions of validation and test by a model that is shown fewer leads than it was trained on.

    Nothing is fitted. Recordings of which none of the leads is there are left out.

    Args:
        model_path: folder of the classifier.
        store: of its contract.
        targets: that it predicts.
        mode: name of the model in the table.
        leads: set of recorded leads.

    Raises:
        InputError: no such model, or one of other targets.
        ContractMismatch: model and store disagree.
    """
    classifier, _ = load_classifier(model_path, store.spec, str(store.path))
    task = resolve_task(store, targets)
    if classifier.targets != task.outputs:
        what = f"predicts {', '.join(classifier.targets)}, the task is {', '.join(task.outputs)}"
        raise InputError(Problem(str(model_path), "targets", what, "Name the targets that it was fine-tuned for"))
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

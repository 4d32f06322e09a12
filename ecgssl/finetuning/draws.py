"""Repeated fine-tuning on randomly drawn subsets of the training patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecgssl.config import FinetuneParams
from ecgssl.finetuning.finetune import FinetuneResult, Mode, finetune
from ecgssl.finetuning.rows import share_of
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.store.store import Store


@dataclass
class SettingResult:
    """Results of fine-tuning for one setting.

    Args:
        result: fine-tuning result of the first draw.
        others: prediction tables of the other draws; empty if there is only one draw.
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
    """Fine-tune on a share of the training patients, with ``params.draws`` random draws of patients.

    If the share is 1, there is only one draw. All draws use the same encoders and the same training seed; only the
    training patients differ.

    Args:
        store, encoder_path, targets, mode, params, seed, work, share, leads, show_progress: see ``finetune``.

    Raises:
        InputError, ContractMismatch: see ``finetune``.
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

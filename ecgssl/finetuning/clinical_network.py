"""Nonlinear clinical baseline: the clinical baseline averaged with a network on the same columns, as in mode ``mlp``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config.finetune import MlpParams
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline
from ecgssl.finetuning.mlp import finetune_mlp, standardised_targets
from ecgssl.finetuning.probe_head import head_of
from ecgssl.finetuning.rows import ChosenRows
from ecgssl.probes.selection import selection_score
from ecgssl.store.store import Store


def with_network(
    baseline: ClinicalBaseline,
    store: Store,
    values: NDArray[np.float64],
    rows: ChosenRows,
    params: MlpParams,
    seed: int,
    cache: Path,
    run_folder: Path,
    config: dict[str, Any],
    leads: NDArray[np.bool_] | None = None,
    *,
    show_progress: bool = True,
) -> tuple[ClinicalBaseline, NDArray[np.float64], int]:
    """Return a clinical baseline with a network, its outputs for the validation and test rows, and the chosen epoch.

    The epoch is 0, and the baseline has no network, if no epoch improved on the linear probe.

    Args:
        baseline: clinical baseline, fitted on the training rows by ``fit_baseline``.
        store: store with the recordings.
        values: target values (len(store), K).
        rows: rows of each split.
        params: settings of network and training loop.
        seed: seed of the initial weights, the order of the recordings and dropout.
        cache: folder of the measurements.
        run_folder, config: see ``ecgssl.finetuning.full.finetune_full``.
        leads: mask (L,) of the leads that may be used; all by default.
        show_progress: draw a progress bar on a terminal.

    Raises:
        InputError: ``run_folder`` contains a run with other settings.
        Diverged: a training loss or validation score is not finite.
    """
    every = np.concatenate([rows.train, rows.val, rows.test])
    inputs = baseline.measured(store, every, leads, cache=cache, show_progress=show_progress)
    columns = baseline.columns.columns(inputs).astype(np.float32)
    first, second = len(rows.train), len(rows.train) + len(rows.val)
    learned, val = (standardised_targets(values[part], baseline.probe) for part in (rows.train, rows.val))
    found = finetune_mlp(
        head_of(baseline.probe), baseline.probe.kind, columns[:first], learned, columns[first:second], val, params, seed,
        selection_score(baseline.probe.kind), run_folder, config, show_progress=show_progress,
    )  # fmt: skip
    fitted = replace(baseline, network=found.head.network)
    return fitted, fitted.outputs(inputs[first:]), found.best_epoch

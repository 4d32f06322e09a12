"""Clinical baseline: the probe of a task on classical ECG measurements, with age and sex where they are known.

The measurements (``ecgssl.signal.clinical_features``) are taken from the cleaned signal of the store before normalisation.
Age and sex are added if the set has them. They are left out if a target states them, such as the target ``age``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.config.finetune import LinearParams
from ecgssl.evaluation.predictions import CLINICAL
from ecgssl.finetuning.row_cache import cached_rows
from ecgssl.finetuning.rows import ChosenRows
from ecgssl.finetuning.task import AGE, Task
from ecgssl.model.classifier import Network
from ecgssl.probes.binary import Probe
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.feature_columns import FeatureColumns, fit_columns
from ecgssl.progress import progress
from ecgssl.signal.clinical_features import NAMES, VERSION, clinical_features
from ecgssl.store.store import Store

SEX = "sex"
PEOPLE = (AGE, SEX)

_BLOCK = 256
_SEXES = {"male": 1.0, "female": 0.0}


@dataclass(frozen=True)
class ClinicalBaseline:
    """Fitted clinical baseline of a task.

    Args:
        model: name in prediction tables, which states whether age and sex are inputs.
        inputs: names of the inputs: the measurements, then age and sex if they are used.
        columns: map from the inputs to the columns of the probe.
        probe: fitted linear probe.
        network: network whose outputs are averaged with those of the probe (mode ``mlp``), in eval mode; ``None`` for none.
    """

    model: str
    inputs: tuple[str, ...]
    columns: FeatureColumns
    probe: Probe
    network: Network | None = None

    def outputs(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the outputs (N, K) of the baseline for inputs (N, F), NaN where missing."""
        columns, probe = self.columns.columns(inputs), self.probe
        linear = probe.logits(columns)
        if self.network is None:
            return linear
        standardised = ((columns - probe.mean) / probe.scale).astype(np.float32)
        with torch.inference_mode():
            found = self.network(torch.from_numpy(standardised)).double().numpy()
        if probe.spread is not None and probe.offset is not None:
            found = found * probe.spread + probe.offset
        return np.asarray((linear + found) / 2)

    def external_outputs(
        self,
        store: Store,
        rows: NDArray[np.int64],
        leads: NDArray[np.bool_] | None = None,
        *,
        cache: Path | None = None,
        show_progress: bool = True,
    ) -> NDArray[np.float64]:
        """Return the outputs (len(rows), K) for recordings of another store; arguments as in ``measured``."""
        return self.outputs(self.measured(store, rows, leads, cache=cache, show_progress=show_progress))

    def measured(
        self,
        store: Store,
        rows: NDArray[np.int64],
        leads: NDArray[np.bool_] | None = None,
        *,
        cache: Path | None = None,
        show_progress: bool = True,
    ) -> NDArray[np.float64]:
        """Return the inputs (len(rows), F) for recordings of a store. Age and sex that it lacks are missing values.

        Args:
            store: store with the preprocessing settings of the model.
            rows: rows of the store.
            leads: mask (L,) of the leads that may be used; all by default.
            cache: cache folder for the measurements; by default they are not kept.
            show_progress: draw a progress bar on a terminal.
        """
        if cache is None:
            ecg = _measure(store, rows, leads, show_progress)
        else:
            ecg = cached_features(store, rows, cache, leads, show_progress=show_progress)
        unknown = np.full(len(rows), np.nan)
        people = {name: column[rows] for name, column in _known_people(store).items()}
        columns = [people.get(name, unknown) for name in self.inputs[len(NAMES) :]]
        return np.column_stack([ecg.astype(np.float64), *columns])

    def unknown_people(self, store: Store, rows: NDArray[np.int64]) -> list[str]:
        """Return those of the inputs age and sex that are unknown in all given rows of a store."""
        known = {name for name, column in _known_people(store).items() if (~np.isnan(column[rows])).any()}
        return [name for name in self.inputs[len(NAMES) :] if name not in known]

    def about(self) -> dict[str, Any]:
        """Return the inputs and the chosen hyperparameters for ``choices.json``."""
        return {
            "model": self.model,
            "people": [name for name in self.inputs if name in PEOPLE],
            "without_known_value": list(self.columns.left_out),
            "with_indicator": [self.inputs[i] for i in self.columns.marked],
            "C": dict(zip(self.probe.names, self.probe.C, strict=True)),
            "class_weight": dict(zip(self.probe.names, self.probe.class_weight, strict=True)),
            "chosen_by": list(self.probe.chosen_by),
        }


def model_name(people: Sequence[str]) -> str:
    """Return the name of the clinical baseline in prediction tables; ``people`` are those of age and sex that are inputs."""
    return CLINICAL + (f" with {' and '.join(people)}" if people else "")


def fit_baseline(
    store: Store,
    task: Task,
    values: NDArray[np.float64],
    rows: ChosenRows,
    params: LinearParams,
    seed: int,
    cache: Path,
    leads: NDArray[np.bool_] | None = None,
    *,
    show_progress: bool = True,
) -> tuple[ClinicalBaseline, NDArray[np.float64]]:
    """Fit the clinical baseline on the training rows, and return it with its outputs for the validation and test rows.

    Args:
        store: store with the recordings.
        task, values: task and its target values (len(store), K).
        rows: rows of each split. Hyperparameters are selected as for the linear probe.
        params: candidates for C and class weight.
        seed: seed of the cross-validation folds.
        cache: folder for the measurements, which are computed once for all modes, shares and draws.
        leads: mask (L,) of the leads that may be used; all by default.
        show_progress: draw a progress bar on a terminal.

    Raises:
        InputError: see ``fit_probe``.
    """
    scored = np.concatenate([rows.val, rows.test])
    every = np.concatenate([rows.train, scored])
    people = _people(store, task, values)
    inputs = (*NAMES, *people)
    ecg = cached_features(store, every, cache, leads, show_progress=show_progress)
    found = np.column_stack([ecg.astype(np.float64), *(column[every] for column in people.values())])
    learned, held_out = found[: len(rows.train)], found[len(rows.train) :]
    columns = fit_columns(learned, inputs)
    count = len(rows.val)
    probe = probe_for(task.kind, params, found.shape)(
        columns.columns(learned), values[rows.train], columns.columns(held_out[:count]), values[rows.val],
        params.model_copy(update={"scale_floor": 0.0}),
        names=task.outputs, groups=store.patients[rows.train], seed=seed,
    )  # fmt: skip
    baseline = ClinicalBaseline(model_name([*people]), inputs, columns, probe)
    return baseline, baseline.outputs(held_out)


def cached_features(
    store: Store,
    rows: NDArray[np.int64],
    cache: Path,
    leads: NDArray[np.bool_] | None = None,
    *,
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return the measurements (len(rows), F) of stored recordings. Those missing from the cache are computed and added.

    Args:
        store: store with the recordings.
        rows: rows of the store.
        cache: cache folder.
        leads: mask (L,) of the leads that may be used; all by default.
        show_progress: draw a progress bar on a terminal.
    """
    return cached_rows(
        store, rows, cache, leads, f"{VERSION} {' '.join(NAMES)} ", len(NAMES), "features",
        lambda lacking: _measure(store, lacking, leads, show_progress),
    )  # fmt: skip


def _measure(
    store: Store, rows: NDArray[np.int64], leads: NDArray[np.bool_] | None, show_progress: bool
) -> NDArray[np.float32]:
    mask = store.lead_mask(rows) if leads is None else store.lead_mask(rows) & leads
    recorded = store.recorded(rows)
    out = np.empty((len(rows), len(NAMES)), dtype=np.float32)
    with progress("clinical features", len(rows), enabled=show_progress) as advance:
        for start in range(0, len(rows), _BLOCK):
            signals = store.signals(rows[start : start + _BLOCK])
            for i, signal in enumerate(signals, start):
                out[i] = clinical_features(
                    signal, store.spec.sampling_rate, store.spec.leads, mask[i], int(recorded[i])
                )
            advance(len(signals))
    return out


def _people(store: Store, task: Task, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return age in years and sex (1 male, 0 female) of all recordings, NaN where unknown.

    A column is left out if it is unknown in the whole set, or if the known values of a target follow from it one to one.
    """
    return {
        name: column
        for name, column in _known_people(store).items()
        if (~np.isnan(column)).any()
        and name not in task.targets
        and not any(_states(target, column) for target in values.T)
    }


def _known_people(store: Store) -> dict[str, NDArray[np.float64]]:
    """Return the columns of age and sex that a store has, NaN where unknown."""
    found: dict[str, NDArray[np.float64]] = {}
    if AGE in store.index:
        found[AGE] = np.asarray(store.index[AGE].to_numpy(na_value=np.nan), dtype=np.float64)
    if SEX in store.index:
        found[SEX] = np.asarray(store.index[SEX].map(_SEXES).to_numpy(na_value=np.nan), dtype=np.float64)
    return found


def _states(target: NDArray[np.float64], column: NDArray[np.float64]) -> bool:
    """Return whether target and column, where both are known, determine each other and are not constant."""
    known = ~(np.isnan(target) | np.isnan(column))
    pairs = len(np.unique(np.column_stack([target, column])[known], axis=0))
    return pairs > 1 and pairs == len(np.unique(target[known])) == len(np.unique(column[known]))

"""Cohort section of a report: number of recordings at each step, and prevalence of every output by split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.evaluation.predictions import kind_of, labels_of
from ecgssl.evaluation.suppression import SMALLEST
from ecgssl.finetuning.task import has_target, resolve_task, task_values
from ecgssl.store.store import Store

SPLITS = ("train", "val", "test", "external")
FOLDS = "folds"
"""Name under which the train, validation and test splits of a cross-validated run are counted together."""


def cohort_flow(
    store: Store, predictions: pd.DataFrame, values: NDArray[np.float64], *, as_one: str | None = None
) -> dict[str, Any]:
    """Return the numbers of recordings: total, rejected (by reason), stored, and labelled and scored (by split).

    Args:
        store: store of the run.
        predictions: predictions of the run.
        values: result of ``target_values``.
        as_one: ``folds`` to count train, validation and test together (cross-validated run), ``external`` to count all
            splits together (store of an external cohort), ``None`` to count each split separately.

    Returns:
        ``{"counted", "rejected", "reasons": [{reason, recordings}], "stored", "patients", "patients_in_two_splits",
        "sites", "overlap", "notes", "splits": [{split, recordings, patients, labelled, scored}]}``. ``sites`` is the number
        of different sites.
    """
    counts = store.about.get("counts", {})
    rejected = _rejected(store.path)
    split = split_names(store, as_one)
    if as_one == FOLDS:
        predictions = predictions.assign(split=FOLDS)
    known = ~np.isnan(values).all(axis=1)
    scored = predictions.drop_duplicates(["split", "record_id"])["split"].value_counts()
    rows = [
        {
            "split": name,
            "recordings": int((split == name).sum()),
            "patients": len(np.unique(store.patients[split == name])),
            "labelled": int((known & (split == name)).sum()),
            "scored": int(scored.get(name, 0)),
        }
        for name in (FOLDS, *SPLITS)
        if (split == name).any()
    ]
    return {
        "counted": int(counts.get("counted", len(store) + len(rejected))),
        "rejected": int(counts.get("rejected", len(rejected))),
        "reasons": [{"reason": str(r), "recordings": int(n)} for r, n in rejected.value_counts().sort_index().items()],
        "stored": len(store),
        "patients": len(np.unique(store.patients)),
        "patients_in_two_splits": _patients_in_twosplit_names(store, split),
        "sites": _different(store.index, "site"),
        "overlap": store.about.get("overlap", {}),
        "notes": [n for n in store.about.get("cohort", {}).get("notes", []) if "patient_id" in n and "/" not in n],
        "splits": rows,
    }


def prevalence(
    predictions: pd.DataFrame, store: Store | None, values: NDArray[np.float64] | None, *, as_one: str | None = None
) -> list[dict[str, Any]]:
    """Return the prevalence of every output by split. Without a store, only scored splits are included.

    Args:
        predictions, store, values, as_one: as in ``cohort_flow``.

    Returns:
        One dictionary per output and split: ``{"label", "split", "recordings", "unknown"}``, the numbers of recordings with
        and without a known target. For classification, it also contains ``positives`` and ``share``. For regression, it
        contains ``mean``, ``sd``, and the 5th and 95th percentiles as ``low`` and ``high``; ``None`` below ten known values.
    """
    kind, names = kind_of(predictions), labels_of(predictions)
    if store is not None and values is not None:
        split = split_names(store, as_one)
    else:
        table = predictions.drop_duplicates(["split", "record_id"])
        split, values = table["split"].to_numpy().astype(str), table[[f"target__{n}" for n in names]].to_numpy(float)
        if as_one == FOLDS:
            split = np.full(len(split), FOLDS)
    found = []
    for k, name in enumerate(names):
        for part in (FOLDS, *SPLITS):
            cells = values[split == part, k]
            if not len(cells):
                continue
            known = cells[~np.isnan(cells)]
            entry = {"label": name, "split": part, "recordings": len(known), "unknown": len(cells) - len(known)}
            found.append(entry | (_numbers(known) if kind == "regression" else _share(known)))
    return found


def target_values(store: Store, config: dict[str, Any], names: list[str]) -> NDArray[np.float64]:
    """Return the values (len(store), outputs) of the outputs of a run; NaN if unknown or if the store lacks the target.

    Args:
        store: store of the run, or of an external cohort.
        config: ``config.json`` of the classifier.
        names: output names of the predictions; ``target:class`` for a multiclass task.
    """
    targets = config.get("task_targets") or (
        [names[0].rpartition(":")[0]] if config.get("task_kind") == "multiclass" else names
    )
    there = [t for t in targets if has_target(store, t)]
    values = np.full((len(store), len(names)), np.nan)
    if there:
        task = resolve_task(store, there)
        values[:, [names.index(output) for output in task.outputs]] = task_values(store, task)
    return values


def split_names(store: Store, as_one: str | None) -> NDArray[np.str_]:
    """Return the split (N,) of every recording. Splits that are counted together get the name ``as_one``."""
    split = store.index["split"].to_numpy().astype(str)
    if as_one == FOLDS:
        return np.where(np.isin(split, SPLITS[:3]), FOLDS, split)
    return split if as_one is None else np.full(len(split), as_one)


def _patients_in_twosplit_names(store: Store, split: NDArray[np.str_]) -> int:
    pairs = pd.DataFrame({"patient": store.patients, "split": split})[np.isin(split, (FOLDS, *SPLITS))]
    return int((pairs.groupby("patient")["split"].nunique() > 1).sum())


def _different(index: pd.DataFrame, column: str) -> int:
    if column not in index:
        return 0
    text = index[column].fillna("").astype(str).str.strip()
    return int(text[text != ""].nunique())


def _rejected(path: Path) -> pd.Series:
    try:
        table = pd.read_csv(path / "rejected.csv", dtype=str, usecols=["reason"])
    except (OSError, ValueError):
        return pd.Series([], dtype=str)
    return table["reason"]


def _share(known: NDArray[np.float64]) -> dict[str, Any]:
    positives = int((known == 1).sum())
    return {"positives": positives, "share": positives / len(known) if len(known) else None}


def _numbers(known: NDArray[np.float64]) -> dict[str, Any]:
    if len(known) < SMALLEST:
        return {"mean": None, "sd": None, "low": None, "high": None}
    low, high = np.quantile(known, [0.05, 0.95])
    return {"mean": float(known.mean()), "sd": float(known.std(ddof=1)), "low": float(low), "high": float(high)}

"""Evaluation of fine-tuned models on other sets with the same targets. The models and their thresholds are not changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ecgssl.finetuning.task import has_target, resolve_task, task_values
from ecgssl.store.store import Store


def sets_with_targets(stores: Mapping[str, Store], targets: Sequence[str], own: str) -> list[str]:
    """Return the names of the sets other than ``own`` whose stores have all the targets, with the same kind and classes.

    Args:
        stores: store of each set.
        targets: targets of a task.
        own: name of the set that the task is fine-tuned on.
    """
    return [
        name
        for name, store in stores.items()
        if name != own
        and all(has_target(store, target) for target in targets)
        and all(_meaning(store, target) == _meaning(stores[own], target) for target in targets)
    ]


def held_out_split(store: Store) -> str | None:
    """Return ``test`` if the store has this split, or ``None``, which stands for all recordings."""
    return "test" if len(store.rows("test")) else None


def known_values(store: Store, targets: Sequence[str], split: str | None) -> int:
    """Return the number of recordings of a split with a known value of at least one target.

    Args:
        store: store with all the targets.
        targets: targets of a task.
        split: name of the split, or ``None`` for all recordings.
    """
    rows = np.arange(len(store)) if split is None else store.rows(split)
    values = task_values(store, resolve_task(store, targets))[rows]
    return int((~np.isnan(values)).any(axis=1).sum())


def _meaning(store: Store, target: str) -> tuple[str, list[str]]:
    declared = store.kinds.get(target)
    return ("binary", []) if declared is None else (declared.kind, list(declared.classes or ()))

"""Evaluation of fine-tuned models on other sets with the same targets. The models and their thresholds are not changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        and set(targets) <= set(store.targets)
        and all(_meaning(store, target) == _meaning(stores[own], target) for target in targets)
    ]


def held_out_split(store: Store) -> str | None:
    """Return ``test`` if the store has this split, or ``None``, which stands for all recordings."""
    return "test" if len(store.rows("test")) else None


def _meaning(store: Store, target: str) -> tuple[str, list[str]]:
    declared = store.kinds.get(target)
    return ("binary", []) if declared is None else (declared.kind, list(declared.classes or ()))

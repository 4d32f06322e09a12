"""Recordings that share a patient or a waveform with a recording of another fold of a cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.leakage.identities import Identities
from ecgssl.signal.waveform_match import same_recording
from ecgssl.store.store import Store


def count_across_folds(store: Store, rows: NDArray[np.int64], folds: NDArray[np.int64]) -> dict[str, Any]:
    """Return the numbers of recordings that share a patient or a waveform with a recording of another fold.

    A recording counts once if it is tested in at least one repetition by a model that was trained on a recording of the
    same patient or with the same waveform.

    Args:
        store: store of the recordings.
        rows: (n,) rows of the store that are in the folds.
        folds: (n, repeats) fold in which each recording is tested.

    Returns:
        ``recordings`` (n), ``by_patient`` and ``by_waveform``; the latter is ``None`` if the store has no waveform codes.
    """
    by_waveform = None
    if "waveform_hash" in store.index:
        by_waveform = _divided(same_recording(Identities.of_store(store, rows, named=False).codes), folds)
    return {"recordings": len(rows), "by_patient": _divided(store.patients[rows], folds), "by_waveform": by_waveform}


def _divided(groups: NDArray[np.int64], folds: NDArray[np.int64]) -> int:
    """Return the number of recordings whose group is in two or more folds of at least one repetition."""
    _, group = np.unique(groups, return_inverse=True)
    found = np.zeros(len(groups), dtype=bool)
    for fold in folds.T:
        low, high = np.full(len(groups), fold.max(initial=0)), np.zeros(len(groups), dtype=fold.dtype)
        np.minimum.at(low, group, fold)
        np.maximum.at(high, group, fold)
        found |= (low < high)[group]
    return int(found.sum())

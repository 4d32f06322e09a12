"""Train, validation and test splits in which every patient is in one split only."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS = 10
_VALIDATION, _TEST = (0,), (1, 2)


def grouped_split(table: pd.DataFrame, targets: tuple[str, ...], seed: int) -> NDArray[np.object_]:
    """Split about 70/10/20 by patient, with similar shares of the targets (scikit-learn's StratifiedGroupKFold).

    Args:
        table: with ``patient_id`` and the targets.
        targets: a recording is stratified by the rarest of its positive targets.
        seed: equal seeds give equal splits of an equal table.

    Returns:
        ``train``, ``val`` or ``test`` per row.

    Raises:
        ValueError: where there are fewer than ten patients.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if table["patient_id"].nunique() < FOLDS:
        raise ValueError(f"fewer than {FOLDS} patients")
    stratum = np.zeros(len(table), dtype=np.int64)
    for number, target in enumerate(sorted(targets, key=lambda t: -float((table[t] == 1).sum())), 1):
        positive = (table[target] == 1).to_numpy()
        # a stratum smaller than the number of folds cannot be spread over them
        if positive.sum() >= FOLDS:
            stratum[positive] = number
    sizes = np.bincount(stratum)
    stratum[sizes[stratum] < FOLDS] = sizes.argmax()
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    split = np.full(len(table), "train", dtype=object)
    for number, (_, held_out) in enumerate(folds.split(stratum, stratum, table["patient_id"])):
        if number in _VALIDATION:
            split[held_out] = "val"
        elif number in _TEST:
            split[held_out] = "test"
    return split

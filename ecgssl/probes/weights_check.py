"""Check of the weights of a shipped encoder: a ridge probe on stated recordings must give its stated result.

The probe has a fixed penalty and no choice on validation, so the result depends on the weights and the recordings only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.model.encoder import Encoder
from ecgssl.probes.selection import macro_auroc
from ecgssl.store.store import Store
from ecgssl.training.embed import embed_store

PENALTY = 1000.0
"""Ridge penalty on standardised embeddings."""


def check_figure(
    encoder: Encoder, store: Store, targets: Sequence[str], train: Sequence[str], test: Sequence[str]
) -> float:
    """Return the macro AUROC of a ridge probe on the embeddings of stated recordings.

    Args:
        encoder: encoder with the preprocessing settings of the store.
        store: store with the recordings.
        targets: binary targets of the store that are known for all of the recordings.
        train, test: record ids on which the probe is fitted and evaluated.

    Raises:
        InputError: a recording or a target is missing from the store; all of them are listed.
    """
    rows = {name: row for row, name in enumerate(store.column("record_id").to_pylist())}
    problems = [
        Problem(str(store.path), kind, f"{len(absent)} are missing, the first is {absent[0]}", "Use the stated release")
        for kind, absent in (
            ("recordings", [name for name in (*train, *test) if name not in rows]),
            ("targets", [name for name in targets if name not in store.targets]),
        )
        if absent
    ]
    if problems:
        raise InputError(problems)
    chosen = np.array([rows[name] for name in (*train, *test)])
    values = store.index.iloc[chosen][list(targets)].to_numpy(dtype=np.float64)
    embedded = embed_store(encoder, store, chosen, show_progress=False).astype(np.float64)
    return probe_auroc(embedded[: len(train)], values[: len(train)], embedded[len(train) :], values[len(train) :])


def probe_auroc(
    train: NDArray[np.float64], known: NDArray[np.float64], test: NDArray[np.float64], judged: NDArray[np.float64]
) -> float:
    """Return the macro AUROC of a ridge regression of binary targets.

    Args:
        train, test: (n, E) and (m, E) embeddings.
        known, judged: (n, K) and (m, K) targets, 0 or 1.

    Raises:
        InputError: a target is unknown for a recording, or has only one value among the test recordings.
    """
    constant = [k for k in range(judged.shape[1]) if len(np.unique(judged[:, k])) < 2]
    if constant or not (np.isfinite(known).all() and np.isfinite(judged).all()):
        what = "are unknown for a recording, or equal for all test recordings"
        raise InputError(Problem("check", "targets", what, "Choose other recordings"))
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1
    x, z = (train - mean) / scale, (test - mean) / scale
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ (known - known.mean(axis=0)))
    return macro_auroc(judged, z @ weights)


def choose_recordings(
    store: Store, targets: Sequence[str], start: str, train: int, test: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return record ids for a check: the first recordings from ``start`` on with known targets, in the order of their ids.

    Args:
        store: store with the targets.
        targets: targets of the probe.
        start: first record id.
        train, test: numbers of recordings from the training and from the validation split. The test split of the store is not
            used, so that it stays unseen.

    Raises:
        InputError: the store has too few such recordings.
    """
    index = store.index
    known = index[list(targets)].notna().all(axis=1) & (index["record_id"] >= start)
    chosen = []
    for split, count in (("train", train), ("val", test)):
        names = sorted(index.loc[known & (index["split"] == split), "record_id"])[:count]
        if len(names) < count:
            what = f"{len(names)} recordings of split {split} from {start} on have all targets; {count} are needed"
            raise InputError(
                Problem(str(store.path), "recordings", what, "Choose an earlier start or fewer recordings")
            )
        chosen.append(tuple(names))
    return chosen[0], chosen[1]

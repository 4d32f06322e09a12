"""MiniRocket features of stored recordings (Dempster, Schmidt & Webb, KDD 2021), computed in blocks of bounded memory.

MiniRocket convolves a signal with fixed kernels and counts how often the result exceeds a threshold. Only the thresholds
depend on the data: each is a quantile of the convolution of one training recording. Nothing is learned from labels. The
implementation is that of sktime (extra ``bench``). aeon contains the same code, but aeon 1.6 requires numba below 0.64
and thus an older numpy than the pinned one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.errors import require
from ecgssl.files import canonical_json, write_atomic
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch

KERNELS = 9996
"""Default number of features; sktime rounds down to a multiple of 84."""
_FIT = 2048
"""Number of training recordings from which the recordings of the thresholds are drawn."""
_BLOCK = 512


def minirocket_features(
    store: Store,
    file: Path,
    *,
    rows: NDArray[np.int64] | None = None,
    kernels: int = KERNELS,
    seed: int = 0,
    leads: NDArray[np.bool_] | None = None,
    on_block: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], float]:
    """Return the features (len(rows), F) as a memory-mapped array, and the CPU time in s that they took.

    The input is that of the encoders: cleaned and normalised; absent leads are 0. An interrupted computation resumes after
    its last finished block. A finished file is opened without computing anything.

    Args:
        store: store of preprocessed recordings with a split ``train``.
        file: file of the features; ``FILE.json`` contains the settings, the progress and the CPU time.
        rows: rows of the store; all by default.
        kernels: number of features F, a multiple of 84.
        seed: seed of the training recordings and thresholds.
        leads: mask (L,) of the leads to use; all by default.
        on_block: function that is called with the number of finished recordings after each block.

    Raises:
        InputError: sktime or numba is not installed.
        ValueError: the file was made with other settings.
    """
    require("MiniRocket", "sktime", "numba")
    wanted = np.arange(len(store)) if rows is None else rows
    about: dict[str, Any] = {
        "rows": sha256(wanted.astype(np.int64).tobytes()).hexdigest(),
        "store": store.about["index_sha256"], "signal": store.spec.fingerprint, "kernels": kernels, "seed": seed,
        "leads": None if leads is None else leads.tolist(),
    }  # fmt: skip
    progress = file.with_name(file.name + ".json")
    state: dict[str, Any] = {"about": about, "done": 0, "cpu_seconds": 0.0}
    if progress.exists():
        state = json.loads(progress.read_text())
        if state["about"] != json.loads(canonical_json(about)):
            raise ValueError(f"{file} has features with other settings. Use another folder, or remove the file")
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = "r+" if state["done"] else "w+"
    found = np.lib.format.open_memmap(file, mode=mode, dtype=np.float32, shape=(len(wanted), kernels))
    if state["done"] == len(wanted):
        return found, state["cpu_seconds"]
    compile_minirocket()
    start = time.process_time() - state["cpu_seconds"]
    transform = _fitted(store, kernels, seed, leads)
    for first in range(state["done"], len(wanted), _BLOCK):
        part = slice(first, min(first + _BLOCK, len(wanted)))
        found[part] = transform(_signals(store, wanted[part], leads))
        found.flush()
        state |= {"done": part.stop, "cpu_seconds": time.process_time() - start}
        write_atomic(progress, canonical_json(state))
        if on_block is not None:
            on_block(state["done"])
    return found, state["cpu_seconds"]


def compile_minirocket() -> None:
    """Compile the functions of MiniRocket for this machine. The compiled code is cached by numba."""
    noise = np.random.default_rng(0).normal(size=(2, 12, 100)).astype(np.float32)
    _transformer(noise, 84, 0)(noise)


def _fitted(
    store: Store, kernels: int, seed: int, leads: NDArray[np.bool_] | None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    train = store.rows("train")
    some = np.sort(np.random.default_rng(seed).permutation(train)[:_FIT])
    return _transformer(_signals(store, some, leads), kernels, seed)


def _transformer(
    signals: NDArray[np.float32], kernels: int, seed: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    from sktime.transformations.rocket import MiniRocketMultivariate

    rocket = MiniRocketMultivariate(num_kernels=kernels, n_jobs=1, random_state=seed).fit(signals)
    return lambda x: rocket.transform(x).to_numpy(dtype=np.float32)


def _signals(store: Store, rows: NDArray[np.int64], leads: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    parts = [
        load_batch(store, part, torch.device("cpu"), leads).x.numpy()
        for part in np.array_split(rows, -(-len(rows) // 64))
    ]
    return np.concatenate(parts)

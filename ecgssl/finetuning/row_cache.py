"""On-disk cache of one vector per stored recording, such as embeddings or measurements."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.files import write_atomic
from ecgssl.store.store import Store


def cached_rows(
    store: Store,
    rows: NDArray[np.int64],
    cache: Path,
    leads: NDArray[np.bool_] | None,
    made_with: str,
    width: int,
    name: str,
    compute: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return the vectors (len(rows), width) of stored recordings. Those missing from the cache are computed and added.

    Args:
        store: store with the recordings.
        rows: rows of the store.
        cache: cache folder. Each file belongs to one combination of ``made_with``, store and leads.
        leads: mask (L,) of the leads that the vectors depend on; ``None`` for all.
        made_with: text that identifies what computes the vectors.
        width: number of values in a vector.
        name: name of the vectors in the file.
        compute: function that returns the vectors of rows.
    """
    seen = "all" if leads is None else " ".join(np.array(store.spec.leads)[leads])
    key = made_with + store.about["index_sha256"] + store.spec.fingerprint + seen
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    known, kept = np.empty(0, dtype=np.int64), np.empty((0, width), dtype=np.float32)
    if file.exists():
        with np.load(file, allow_pickle=False) as found:
            known, kept = found["rows"], found[name]
    lacking = np.setdiff1d(rows, known)
    if len(lacking):
        known, kept = np.concatenate([known, lacking]), np.concatenate([kept, compute(lacking)])
        order = np.argsort(known)
        known, kept = known[order], kept[order]
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {"rows": known, name: kept}
        np.savez(buffer, **arrays)
        write_atomic(file, buffer.getvalue())
    return kept[np.searchsorted(known, rows)]

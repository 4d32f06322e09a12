"""Digests of what pretraining and a downstream task read of a store, without the labels that they do not use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecgssl.files import canonical_json
from ecgssl.store.store import Store

_READ = ("split", "patient", "lead_mask", "recorded", "window", "waveform_hash")
"""Columns of the index that pretraining and the selection of its recordings read."""


def content_digest(store: Store, targets: Sequence[str] = ()) -> str:
    """Return a SHA-256 (hex) of the samples, splits, patients, leads, waveform codes and given targets of a store.

    It does not depend on record ids, descriptive columns, quality figures or other targets. Therefore a change of labels
    does not change it.

    Args:
        store: store to describe; its shards are described by the SHA-256 in ``spec.json``.
        targets: names of the targets to include; names that the store lacks are recorded as absent.
    """
    about = store.about
    read = [name for name in _READ if name in store.columns]
    content = {
        "fingerprint": store.spec.fingerprint,
        "lsb": store.lsb,
        "shards": [[shard["count"], shard["sha256"]] for shard in about["shards"]],
        "numbering": about.get("patient_numbering", ""),
        "set": [about.get("cohort", {}).get(key, "") for key in ("name", "licence")],
        "columns": {name: _column_digest(store.column(name)) for name in read},
        "targets": {
            name: _column_digest(store.column(name)) if name in store.targets else None for name in sorted(targets)
        },
    }
    return hashlib.sha256(canonical_json(content, indent=None, digits=None).encode()).hexdigest()


def task_digest(store: Store, targets: Sequence[str]) -> str:
    """Return a SHA-256 (hex) of what fine-tuning and evaluation of a task read of a store.

    These are the content of ``content_digest`` with the targets and their kinds, record ids, descriptive columns, quality
    figures and the settings of quality checks. Other targets do not change it.

    Args:
        store: store of the set of the task.
        targets: names of the targets of the task.
    """
    other = [name for name in store.columns if name not in (*_READ, *store.targets)]
    read = {
        "content": content_digest(store, targets),
        "kinds": {name: kind.model_dump(mode="json") for name, kind in store.kinds.items() if name in targets},
        "columns": {name: _column_digest(store.column(name)) for name in sorted(other)},
        "about": {name: store.about.get(name) for name in ("cohort", "quality", "overlap")},
    }
    return hashlib.sha256(canonical_json(read, indent=None, digits=None).encode()).hexdigest()


def _column_digest(column: pa.ChunkedArray) -> str:
    """Return a SHA-256 of the values of a column; it does not depend on chunks, slices or bytes behind null cells."""
    whole = column.combine_chunks()
    digest = hashlib.sha256(str(len(whole)).encode())
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        whole = pc.fill_null(whole.cast(pa.large_string()), "")
        _, offsets, data = whole.buffers()
        ends = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
        digest.update(np.diff(ends).tobytes())
        digest.update(memoryview(data or b"")[ends[0] : ends[-1]])
    else:
        digest.update(whole.to_numpy(zero_copy_only=False).astype(np.float64).tobytes())
    return digest.hexdigest()

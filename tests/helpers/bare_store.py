"""Stores of random samples with chosen waveforms, patients and splits, written without preprocessing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import CODE_BYTES, HEADER_BYTES, POINTS, VERSION
from ecgssl.store import layout
from ecgssl.store.store import Store

SPEC = SignalSpec(duration=5.0)


def random_codes(waveforms: Sequence[int]) -> np.ndarray:
    """Return waveform codes (n, ``CODE_BYTES``) of random signs that are equal for equal numbers."""
    out = np.zeros((len(waveforms), CODE_BYTES), np.uint8)
    for row, waveform in enumerate(waveforms):
        out[row, HEADER_BYTES:] = np.random.default_rng(waveform).integers(0, 256, CODE_BYTES - HEADER_BYTES)
    out[:, :HEADER_BYTES] = VERSION, POINTS, 255
    return out


def bare_store(
    folder: Path,
    waveforms: Sequence[int],
    splits: str | Sequence[str] = "train",
    patients: Sequence[int] | None = None,
    *,
    name: str = "",
    numbering: str = "",
    licence: str = "",
    shard: int = 8,
    labels: dict[str, Sequence[float]] | None = None,
    spec: SignalSpec = SPEC,
) -> Store:
    """Write a store with one recording per entry of ``waveforms``; equal numbers are copies of one waveform.

    Args:
        folder: folder of the store; its name is the default of ``name``.
        waveforms: number of the waveform of each recording.
        splits: split of all recordings, or of each recording.
        patients: patient number of each recording; by default, the number of the waveform.
        name, licence: name and licence of the set.
        numbering: see ``ecgssl.store.patient_key.numbering_check``; by default, ``name``.
        shard: recordings per shard.
        labels: values of each target.
        spec: preprocessing settings.
    """
    folder.mkdir(parents=True)
    count, labels, name = len(waveforms), labels or {}, name or folder.name
    shards = []
    for number, start in enumerate(range(0, count, shard)):
        here = waveforms[start : start + shard]
        samples = np.stack(
            [np.random.default_rng(w).integers(-900, 900, (len(spec.leads), spec.samples), np.int16) for w in here]
        )
        np.save(folder / layout.shard_name(number), samples)
        digest = hashlib.sha256(samples.tobytes()).hexdigest()
        shards.append({"file": layout.shard_name(number), "count": len(here), "sha256": digest})
    columns: dict[str, Any] = {
        "record_id": [f"{name}-{row}" for row in range(count)],
        "patient": [f"{p:016x}" for p in (waveforms if patients is None else patients)],
        "split": [splits] * count if isinstance(splits, str) else list(splits),
        **{target: np.asarray(values, float) for target, values in labels.items()},
        "lead_mask": [(1 << len(spec.leads)) - 1] * count,
        "waveform_hash": [code.tobytes().hex() for code in random_codes(waveforms)],
    }
    pq.write_table(pa.table(columns), folder / layout.INDEX)
    about = {
        "format": layout.FORMAT, "version": layout.VERSION, "spec": spec.to_dict(), "fingerprint": spec.fingerprint,
        "targets": list(labels), "lsb": 0.001, "count": count, "shards": shards,
        "index_sha256": hashlib.sha256((folder / layout.INDEX).read_bytes()).hexdigest(),
        "cohort": {"name": name, "licence": licence}, "patient_numbering": numbering or f"of-{name}",
        "counts": {"counted": count + 1, "stored": count, "rejected": 1},
    }  # fmt: skip
    (folder / layout.SPEC).write_text(json.dumps(about))
    rejected = f"{','.join(layout.REJECTED_COLUMNS)}\n{name}-{count},read,unreadable,,\n"
    (folder / layout.REJECTED).write_text(rejected)
    return Store(folder)

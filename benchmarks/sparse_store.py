"""Generated stores of up to 800,000 recordings for benchmarks.

Shards are sparse files: they have the size of real shards, but use no disk space. The index has random waveform codes and
five recordings per patient.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecgssl.config import Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.files import sha256_of
from ecgssl.preprocessing import preprocess as preprocessing
from ecgssl.preprocessing.shards import Work
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import CODE_BYTES, HEADER_BYTES, POINTS, VERSION
from ecgssl.store import layout
from ecgssl.store.layout import PART_SCHEMA


def generate(folder: Path, recordings: int, shards: int, seed: int, copied: int = 0) -> None:
    """Write a store with sparse shards; the first ``copied`` recordings have the codes of seed 0."""
    folder.mkdir()
    rng, spec = np.random.default_rng(seed), SignalSpec()
    sizes = np.diff(np.linspace(0, recordings, shards + 1).astype(int)).tolist()
    listed = []
    for number, size in enumerate(sizes):
        path = folder / layout.shard_name(number)
        _sparse_shard(path, size, spec)
        digest = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        listed.append({"file": path.name, "count": size, "sha256": digest})
    codes = _codes(rng, recordings, copied)
    patients = rng.integers(0, recordings // 5, recordings)
    split = np.array(["train"] * 18 + ["val", "test"])[patients % 20]
    table = {
        "record_id": [f"r{row}" for row in range(recordings)],
        "patient": [f"{seed:04x}{patient:012x}" for patient in patients.tolist()],
        "split": split,
        "lead_mask": np.full(recordings, 4095),
        "waveform_hash": codes,
        **{name: rng.normal(size=recordings) for name in layout.FIGURE_COLUMNS},
    }
    pq.write_table(pa.table(table), folder / layout.INDEX, compression="zstd")
    about: dict[str, Any] = {
        "format": layout.FORMAT, "version": layout.VERSION, "spec": spec.to_dict(), "fingerprint": spec.fingerprint,
        "targets": [], "lsb": 0.001, "count": recordings, "shards": listed, "index_sha256": "",
        "cohort": {"name": folder.name, "licence": ""}, "patient_numbering": folder.name,
    }  # fmt: skip
    (folder / layout.SPEC).write_text(json.dumps(about))


def interrupt(cohort: Cohort, params: Params, out: Path) -> None:
    """Write what an interrupted preprocessing of a cohort leaves next to ``out`` after its last shard.

    Shards are sparse files, and their waveform codes are random. The next run reads and checks all of it, compares the
    recordings, and writes the index.
    """
    partial = out.with_name(f".{out.name}.partial-{preprocessing._run_key(cohort, params)}")
    work = Work(partial / "store", partial / "parts", params.signal, params.quality, params.store.lsb)
    work.shards.mkdir(parents=True)
    work.parts.mkdir()
    rng = np.random.default_rng(0)
    digests: dict[int, str] = {}
    for number, (begin, end) in enumerate(preprocessing._slices(cohort, params)):
        count = end - begin
        _sparse_shard(work.shard(number), count, params.signal)
        digests.setdefault(count, sha256_of(work.shard(number)))
        filled: dict[str, Any] = {
            "place": np.arange(begin, end),
            "source_rate": np.full(count, 500.0),
            "recorded": np.full(count, params.signal.samples),
            "window": np.zeros(count, np.int64),
            "lead_mask": np.full(count, 4095),
            "clipped": np.zeros(count, np.int64),
            "waveform_hash": _codes(rng, count),
            **{name: rng.normal(size=count) for name in layout.FIGURE_COLUMNS},
        }
        empty = dict.fromkeys(("reasons", "findings"), [""] * count)
        columns = {field.name: filled.get(field.name, empty.get(field.name, [None] * count)) for field in PART_SCHEMA}
        part = pa.table(columns, schema=PART_SCHEMA).replace_schema_metadata({"sha256": digests[count]})
        with pa.OSFile(str(work.part(number)), "wb") as file, pa.ipc.new_file(file, part.schema) as writer:
            writer.write_table(part)


def _sparse_shard(path: Path, count: int, spec: SignalSpec) -> None:
    shape = (count, len(spec.leads), spec.samples)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<i2", "fortran_order": False, "shape": shape})
        stream.truncate(stream.tell() + 2 * int(np.prod(shape)))


def _codes(rng: np.random.Generator, count: int, copied: int = 0) -> list[str]:
    """Return random waveform codes; the first ``copied`` codes are those of seed 0."""
    codes = rng.integers(0, 256, (count, CODE_BYTES), np.uint8)
    codes[:copied] = np.random.default_rng(0).integers(0, 256, (copied, CODE_BYTES), np.uint8)
    codes[:, :HEADER_BYTES] = VERSION, POINTS, 255
    text, width = codes.tobytes().hex(), 2 * CODE_BYTES
    return [text[start : start + width] for start in range(0, len(text), width)]

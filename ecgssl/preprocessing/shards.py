"""Shards of a store: preparation of a group of recordings, written as a shard file and a part file.

A part is an Arrow file with one row per stored or rejected recording (or window) of its shard. Shard and part are written under
temporary names, synchronised and renamed; the part is written last. A shard is complete if its part exists and contains
the SHA-256 of the shard, so a run can be killed at any time. No shard or part is locked or appended to, so network drives can
be used. If two workers of a cluster make the same shard, both write the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ecgssl.config import QualityParams
from ecgssl.errors import InputError, Problem
from ecgssl.files import sha256_of
from ecgssl.preprocessing.interleave import interleave
from ecgssl.preprocessing.prepare import Rejected, request_steps
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.preprocessing.window_steps import REJECTION, window_steps
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.layout import PART_SCHEMA

UNFINISHED = ".unfinished"
"""Suffix of files that are being written."""


@dataclass(frozen=True)
class Work:
    """Folders and settings shared by all shards of a run.

    Args:
        shards: folder of the shards.
        parts: folder of the part files and temporary files, on the same file system.
        spec: preprocessing settings.
        quality: limits and policy of the quality checks.
        lsb: size of one int16 step in mV.
    """

    shards: Path
    parts: Path
    spec: SignalSpec
    quality: QualityParams
    lsb: float

    def shard(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.shards / layout.shard_name(number)

    def part(self, number: int) -> Path:
        """Return the path of the part file of a shard."""
        return self.parts / f"part-{number:05d}.arrow"


@dataclass(frozen=True)
class ShardResult:
    """Result of making one shard.

    Args:
        number: number of the shard.
        count: number of recordings of the cohort in this shard, including rejected ones.
        rejected: number of rejected recordings.
        stored: number of stored rows: recordings, or windows with ``signal.windows: all``.
        resumed: whether an earlier run made the shard.
    """

    number: int
    count: int
    rejected: int
    stored: int
    resumed: bool


def make_shard(work: Work, number: int, first: int, items: Sequence[RecordingRequest]) -> ShardResult:
    """Prepare and write the recordings of one shard, unless an earlier run has written it.

    Args:
        work: folders and settings.
        number: number of the shard.
        first: row of the first recording in the cohort's table.
        items: recordings of the shard.

    Raises:
        InputError: the files cannot be written.
    """
    part = _made_before(work, number, len(items))
    resumed = part is not None
    if part is None:
        digital, part = _prepare(work, first, items)
        try:
            digest = _write(work, work.shard(number), _npy(digital))
            _write(work, work.part(number), _arrow(part.replace_schema_metadata({"sha256": digest})))
        except OSError as error:
            what = f"shard {number} cannot be written ({error.strerror})"
            remedy = "Free disk space or grant write permission, then run the same command again to continue"
            raise InputError(Problem(str(work.shards), "output", what, remedy)) from error
    kept = part.filter(pc.is_null(part["stage"]))["place"]
    return ShardResult(number, len(items), len(items) - pc.count_distinct(kept).as_py(), len(kept), resumed)


def prune_shard(work: Work, number: int, keep: NDArray[np.bool_]) -> str:
    """Rewrite a shard without some of its recordings and return its new SHA-256 (hex).

    The part is not changed. If the run is killed before the store is complete, the SHA-256 in the part does not match the
    shard, and the next run makes the shard again.

    Args:
        work, number: see ``make_shard``.
        keep: (rows in the shard,) bool, true for rows to keep.
    """
    digital = np.load(work.shard(number), mmap_mode="r", allow_pickle=False)
    return _write(work, work.shard(number), _npy(digital[keep]))


def read_part(path: Path) -> tuple[pa.Table, str]:
    """Return the table of a part file and the SHA-256 (hex) of its shard.

    Raises:
        OSError: the file cannot be read.
        pa.ArrowInvalid: the file is not an Arrow file.
    """
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        table = reader.read_all()
    return table, (table.schema.metadata or {}).get(b"sha256", b"").decode()


def _made_before(work: Work, number: int, count: int) -> pa.Table | None:
    try:
        part, digest = read_part(work.part(number))
        whole = pc.count_distinct(part["place"]).as_py() == count and sha256_of(work.shard(number)) == digest
    except (OSError, pa.ArrowInvalid):
        return None
    return part if whole else None


def _prepare(work: Work, first: int, items: Sequence[RecordingRequest]) -> tuple[NDArray[np.int16], pa.Table]:
    if work.spec.windows == "all":
        return _prepare_windows(work, first, items)
    digital = np.empty((len(items), len(work.spec.leads), work.spec.samples), dtype=np.int16)
    tasks = (
        request_steps(item, work.spec, work.quality, work.lsb, out) for item, out in zip(items, digital, strict=True)
    )
    rows: list[dict[str, Any]] = []
    for place, found in enumerate(interleave(tasks), first):
        rows.append({"place": place} | (_rejection(found) if isinstance(found, Rejected) else found))
    stored = ["stage" not in row for row in rows]
    return digital if all(stored) else digital[stored], pa.Table.from_pylist(rows, schema=PART_SCHEMA)


def _prepare_windows(work: Work, first: int, items: Sequence[RecordingRequest]) -> tuple[NDArray[np.int16], pa.Table]:
    digital = [np.empty((0, len(work.spec.leads), work.spec.samples), dtype=np.int16)]
    rows: list[dict[str, Any]] = []
    tasks = (window_steps(item, work.spec, work.quality, work.lsb) for item in items)
    for place, found in enumerate(interleave(tasks), first):
        if isinstance(found, Rejected):
            rows.append({"place": place} | _rejection(found))
            continue
        rows += [{"place": place} | row for row in found["windows"]]
        digital.append(found["digital"])
    return np.concatenate(digital), pa.Table.from_pylist(rows, schema=PART_SCHEMA)


def _rejection(error: Rejected) -> dict[str, Any]:
    return {name: getattr(error, name) for name in REJECTION} | {"window": 0}


def _npy(digital: NDArray[np.int16]) -> list[bytes | memoryview]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(digital))
    return [header.getvalue(), digital.reshape(-1).data.cast("B")]


def _arrow(table: pa.Table) -> list[bytes | memoryview]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return [memoryview(sink.getvalue())]


def _write(work: Work, path: Path, pieces: Sequence[bytes | memoryview]) -> str:
    """Write a file atomically and return its SHA-256 (hex)."""
    digest = hashlib.sha256()
    temporary = work.parts / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{UNFINISHED}"
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return digest.hexdigest()

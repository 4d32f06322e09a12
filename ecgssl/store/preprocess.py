"""From a cohort to a store: in parallel, resumable, and with the same bytes whatever the number of workers."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from ecgssl.config import Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import InputError, Problem
from ecgssl.files import atomic_directory, canonical_json, write_json
from ecgssl.fingerprint import sha256_of
from ecgssl.progress import progress as progress_bar
from ecgssl.store import layout
from ecgssl.store.patient_key import patient_hash
from ecgssl.store.prepare import Chunk, prepare_chunk
from ecgssl.store.wanted import wanted

CHUNK = 64
"""Recordings that a worker takes at a time: enough to hide the cost of handing over, few enough to share evenly."""


@dataclass(frozen=True)
class PreprocessReport:
    """What became of a cohort.

    Args:
        counted: recordings in the cohort; ``stored + rejected``.
        stored, rejected: how many.
        reasons: of rejections, with counts.
        flags: findings of stored recordings, with counts.
        warnings: what a reader of later results should know.
        seconds: wall time of this run.
        resumed: recordings that an earlier, interrupted run had done.
    """

    counted: int
    stored: int
    rejected: int
    reasons: dict[str, int]
    flags: dict[str, int]
    warnings: tuple[str, ...]
    seconds: float
    resumed: int = 0


def preprocess(cohort: Cohort, params: Params, out: Path | str, key: bytes, progress: bool = True) -> PreprocessReport:
    """Read, check, clean and store the recordings of a cohort.

    ``out`` appears when all is done, or not at all; an existing store there is replaced. What an interrupted run has
    done waits in a hidden folder beside ``out`` and is used again if cohort, contract, limits and key are the same.

    Args:
        cohort: what to preprocess.
        params: sections ``signal``, ``quality`` and ``store``.
        out: folder of the store.
        key: that patient ids are hashed with (``load_or_make_key``).
        progress: show a bar where there is a terminal.

    Raises:
        InputError: where the cohort is empty, a target is named like another column, ``out`` holds something else than
            a store, or more than ``store.max_rejected_fraction`` of the recordings (or all) had to be left out.
    """
    start = time.perf_counter()
    out = Path(out)
    _require_usable(cohort)
    with atomic_directory(out, marker=layout.SPEC) as building:
        partial = out.absolute().with_name(f".{out.name}.partial-{_run_key(cohort, params, key)}")
        partial.mkdir(exist_ok=True)
        resumed = _make_shards(cohort, params, partial, progress)
        parts = [json.loads(path.read_text()) for path in _part_paths(cohort, params, partial)]
        rejected = _rejected_table(cohort, parts)
        rejected.to_csv(partial / layout.REJECTED, index=False, lineterminator="\n")
        _require_enough(cohort, params, rejected, partial / layout.REJECTED)
        index = _index(cohort, parts, key)
        if len(index) + len(rejected) != len(cohort):
            raise AssertionError(f"{len(cohort)} recordings in, {len(index)} stored, {len(rejected)} rejected")
        index.to_parquet(building / layout.INDEX, engine="pyarrow", compression="zstd", index=False)
        write_json(building / layout.SPEC, _about(cohort, params, parts, index, rejected, building), digits=None)
        for path in [partial / layout.REJECTED, *(partial / part["file"] for part in parts)]:
            path.replace(building / path.name)
    for stale in out.absolute().parent.glob(f".{out.name}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)
    flags = Counter(code for cell in index["reasons"] for code in cell.split(";") if code)
    return PreprocessReport(
        counted=len(cohort),
        stored=len(index),
        rejected=len(rejected),
        reasons=_count_reasons(rejected),
        flags=dict(sorted(flags.items())),
        warnings=(*cohort.notes, *_shared_waveforms(index)),
        seconds=time.perf_counter() - start,
        resumed=resumed,
    )


def _require_usable(cohort: Cohort) -> None:
    where = cohort.source or cohort.name
    if len(cohort) == 0:
        raise InputError(Problem(where, "rows", "there are no recordings", "Name a set with recordings"))
    taken = {*layout.DESCRIPTIVE_COLUMNS, *layout.FOUND_COLUMNS, *layout.FIGURE_COLUMNS} & set(cohort.targets)
    if taken:
        remedy = "Rename the column: the index of a store uses this name"
        raise InputError(Problem(where, name, "is not a possible target name", remedy) for name in sorted(taken))


def _run_key(cohort: Cohort, params: Params, key: bytes) -> str:
    about = {
        "version": layout.VERSION,
        "signal": params.signal.fingerprint,
        "quality": params.quality.model_dump(mode="json"),
        "store": params.store.model_dump(mode="json", include={"lsb", "shard_recordings"}),
        "root": str(cohort.root.absolute()),
        "key": hashlib.sha256(key).hexdigest(),
    }
    table = cohort.table.to_csv(index=False).encode()
    return hashlib.sha256(canonical_json(about).encode() + table).hexdigest()[:12]


def _part_paths(cohort: Cohort, params: Params, partial: Path) -> list[Path]:
    shards = -(-len(cohort) // params.store.shard_recordings)
    return [partial / f"part-{number:05d}.json" for number in range(shards)]


def _make_shards(cohort: Cohort, params: Params, partial: Path, progress: bool) -> int:
    """Make the shards that ``partial`` lacks; returns how many recordings were done already."""
    size = params.store.shard_recordings
    count = len(cohort)
    part_paths = _part_paths(cohort, params, partial)
    todo = [number for number, path in enumerate(part_paths) if not _is_whole(path)]
    pieces = [
        (number, begin, min(begin + CHUNK, (number + 1) * size, count))
        for number in todo
        for begin in range(number * size, min((number + 1) * size, count), CHUNK)
    ]
    done = count - sum(end - begin for _, begin, end in pieces)
    jobs = min(effective_n_jobs(params.store.workers), max(len(pieces), 1))
    with (
        progress_bar("preprocess", count, done=done, enabled=progress) as advance,
        parallel_config("loky", inner_max_num_threads=1),
    ):
        chunks: Iterator[Chunk] = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(prepare_chunk)(wanted(cohort, begin, end), begin, params.signal, params.quality, params.store.lsb)
            for _, begin, end in pieces
        )
        gathered: list[Chunk] = []
        for (number, begin, end), chunk in zip(pieces, chunks, strict=True):
            gathered.append(chunk)
            if end == min((number + 1) * size, count):
                _write_shard(part_paths[number], number, gathered)
                gathered = []
            advance(end - begin)
    return done


def _write_shard(part_path: Path, number: int, chunks: list[Chunk]) -> None:
    shard = part_path.with_name(layout.shard_name(number))
    digital = np.concatenate([chunk.digital for chunk in chunks])
    with shard.open("wb") as stream:
        np.save(stream, digital, allow_pickle=False)
    # written last: a shard without its part file does not count
    write_json(
        part_path,
        {
            "file": shard.name,
            "count": len(digital),
            "sha256": sha256_of(shard),
            "found": [row for chunk in chunks for row in chunk.found],
            "rejected": [row for chunk in chunks for row in chunk.rejected],
        },
        digits=None,
    )


def _is_whole(part_path: Path) -> bool:
    try:
        part = json.loads(part_path.read_text())
        return bool(sha256_of(part_path.with_name(part["file"])) == part["sha256"])
    except (OSError, ValueError, KeyError):
        return False


def _rejected_table(cohort: Cohort, parts: list[dict[str, Any]]) -> pd.DataFrame:
    rows = pd.DataFrame(
        [row for part in parts for row in part["rejected"]], columns=["place", *layout.REJECTED_COLUMNS]
    )
    rows["record_id"] = cohort.table["record_id"].to_numpy()[rows["place"].to_numpy(dtype=np.int64)]
    return rows[list(layout.REJECTED_COLUMNS)]


def _count_reasons(rejected: pd.DataFrame) -> dict[str, int]:
    return {str(reason): int(count) for reason, count in sorted(rejected["reason"].value_counts().items())}


def _require_enough(cohort: Cohort, params: Params, rejected: pd.DataFrame, listing: Path) -> None:
    fraction = len(rejected) / len(cohort)
    if fraction <= params.store.max_rejected_fraction and len(rejected) < len(cohort):
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in _count_reasons(rejected).items())
    raise InputError(
        Problem(
            cohort.source or cohort.name,
            "store.max_rejected_fraction",
            f"{len(rejected)} of {len(cohort)} recordings cannot be used ({counts}), "
            f"{params.store.max_rejected_fraction:.0%} is allowed",
            f"See {listing}; mend the recordings, adapt section quality, or raise the limit",
        )
    )


def _index(cohort: Cohort, parts: list[dict[str, Any]], key: bytes) -> pd.DataFrame:
    found = pd.concat([pd.DataFrame(part["found"]) for part in parts if part["found"]], ignore_index=True)
    rows = cohort.table.iloc[found.pop("place").to_numpy(dtype=np.int64)].reset_index(drop=True)
    hashes = {patient: patient_hash(key, patient) for patient in rows["patient_id"].unique()}
    index = pd.DataFrame({"record_id": rows["record_id"].astype(str), "patient": rows["patient_id"].map(hashes)})
    for column in layout.DESCRIPTIVE_COLUMNS[2:]:
        if column in ("fold", "age"):
            index[column] = rows[column].astype(float) if column in rows else np.nan
        else:
            index[column] = rows[column].fillna("").astype(str) if column in rows else ""
    targets = rows[list(cohort.targets)].astype(float)
    return pd.concat(
        [index, targets, found[list(layout.FOUND_COLUMNS)], found[list(layout.FIGURE_COLUMNS)].astype(float)], axis=1
    )


def _about(
    cohort: Cohort,
    params: Params,
    parts: list[dict[str, Any]],
    index: pd.DataFrame,
    rejected: pd.DataFrame,
    folder: Path,
) -> dict[str, Any]:
    return {
        "format": layout.FORMAT,
        "version": layout.VERSION,
        "spec": params.signal.to_dict(),
        "fingerprint": params.signal.fingerprint,
        "quality": params.quality.model_dump(mode="json"),
        "lsb": params.store.lsb,
        "count": len(index),
        "shard_recordings": params.store.shard_recordings,
        "shards": [{name: part[name] for name in ("file", "count", "sha256")} for part in parts],
        "index_sha256": sha256_of(folder / layout.INDEX),
        "targets": list(cohort.targets),
        "cohort": {"name": cohort.name, "licence": cohort.licence, "notes": list(cohort.notes)},
        "counts": {"counted": len(cohort), "stored": len(index), "rejected": len(rejected)},
    }


def _shared_waveforms(index: pd.DataFrame) -> list[str]:
    """Recordings that look the same and lie in different splits: the test would be on what was trained on."""
    stated = index[index["split"] != ""]
    splits = stated.groupby("waveform_hash")["split"].nunique()
    shared = stated[stated["waveform_hash"].isin(splits.index[splits > 1])]
    if shared.empty:
        return []
    examples = ", ".join(shared.sort_values("waveform_hash")["record_id"].head(4))
    return [f"{len(shared)} recordings have the waveform of a recording in another split ({examples})"]

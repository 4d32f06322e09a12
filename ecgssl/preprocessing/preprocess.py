"""Preprocessing of a cohort into a store: parallel, resumable and independent of the number of workers."""

from __future__ import annotations

import glob
import hashlib
import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ecgssl.config import Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import InputError, Problem
from ecgssl.files import atomic_directory, canonical_json, make_folder, sha256_of
from ecgssl.output_lock import exclusive
from ecgssl.pool import run_unordered
from ecgssl.preprocessing.enforce_splits import Policy, enforce_splits
from ecgssl.preprocessing.merge_shards import IndexCounts, write_index, write_rejected
from ecgssl.preprocessing.request import COLUMNS, recording_requests
from ecgssl.preprocessing.shards import UNFINISHED, ShardResult, Work, make_shard, read_part
from ecgssl.progress import progress as progress_bar
from ecgssl.signal.set_voltage import unusual_voltage
from ecgssl.signal.waveform_hash import VERSION as WAVEFORM_HASH
from ecgssl.signal.windows import short_text
from ecgssl.store import layout
from ecgssl.store.patient_key import numbering_check
from ecgssl.version import __version__


@dataclass(frozen=True)
class PreprocessReport:
    """Result of preprocessing a cohort.

    Args:
        counted: number of recordings in the cohort, equal to ``stored + rejected``.
        stored, rejected: numbers of stored and rejected recordings. A recording with several windows is stored if one of
            them is stored.
        short: number of stored recordings that are shorter than ``signal.duration``.
        windows: number of rows of the store; above ``stored`` only with ``signal.windows: all``.
        reasons: number of rejected recordings by reason.
        flags: number of stored recordings by finding.
        warnings: notes on the cohort and on short recordings, and warnings about recordings shared between splits and about
            unusual voltages.
        seconds: wall-clock time of this run in s.
        resumed: number of recordings in shards that an earlier, interrupted run has written.
        overlap: policy, numbers of recordings left out and moved to another split, and numbers of recordings that the
            splits share, by kind (``ecgssl.leakage.overlap.Within.counts``).
    """

    counted: int
    stored: int
    rejected: int
    short: int
    windows: int
    reasons: dict[str, int]
    flags: dict[str, int]
    warnings: tuple[str, ...]
    seconds: float
    resumed: int = 0
    overlap: dict[str, int] = field(default_factory=dict)


def preprocess(
    cohort: Cohort,
    params: Params,
    out: Path | str,
    key: bytes,
    *,
    overlap: Policy = "error",
    progress: bool = True,
) -> PreprocessReport:
    """Read, check, clean and store the recordings of a cohort.

    ``out`` is written atomically and replaces an existing store. The shards of an interrupted run are kept in a hidden
    folder next to ``out``. They are reused by the same release with the same recordings, preprocessing settings, quality
    settings, ``store.lsb`` and ``store.shard_recordings``.

    Args:
        cohort: recordings to preprocess.
        params: parameters; ``signal``, ``quality`` and ``store`` are used.
        out: folder of the store.
        key: secret key for the hashes of patient ids (``load_or_make_key``).
        overlap: action if recordings of different splits share a patient or a waveform (``sets.NAME.overlap``).
        progress: show a progress bar in a terminal.

    Raises:
        InputError: the cohort is empty; a target has the name of another column; ``out`` exists and is not a store;
            all recordings or more than ``store.max_rejected_fraction`` are rejected; ``overlap`` is ``error`` and
            recordings of different splits share a patient or a waveform; or the backend fails (``ecgssl.pool``).
    """
    start = time.perf_counter()
    out = Path(out).absolute()
    require_usable(cohort)
    _require_window_ids(cohort, params)
    partial = out.with_name(f".{out.name}.partial-{_run_key(cohort, params)}")
    work = Work(partial / "store", partial / "parts", params.signal, params.quality, params.store.lsb)
    with exclusive(out), atomic_directory(out, marker=layout.SPEC, building=work.shards) as building:
        for unfinished in make_folder(work.parts).glob(f"*{UNFINISHED}"):
            unfinished.unlink(missing_ok=True)
        made = sorted(_make(cohort, params, work, progress), key=lambda shard: shard.number)
        parts = [work.part(shard.number) for shard in made]
        reasons = write_rejected(building / layout.REJECTED, cohort, parts)
        _require_enough(cohort, params, made, reasons, building / layout.REJECTED)
        apart = enforce_splits(cohort, parts, overlap, partial / "overlap.csv")
        cohort = apart.cohort
        if apart.left_out:
            reasons = write_rejected(building / layout.REJECTED, cohort, parts, apart.left_out)
            _require_enough(cohort, params, made, reasons, building / layout.REJECTED)
        pruned = apart.prune(work, made)
        index = write_index(building / layout.INDEX, cohort, parts, key, params.signal, apart.left_out)
        if index.recordings + reasons.total() != len(cohort):
            stored = index.recordings
            raise AssertionError(f"{len(cohort)} recordings, but {stored} stored and {reasons.total()} rejected")
        about = _about(cohort, params, work, made, pruned, building, index) | {
            "overlap": {"policy": overlap, **apart.counts()},
            "patient_numbering": numbering_check(key, cohort.name if cohort.licence else ""),
        }
        # write this marker file last; the write need not be atomic, because the folder is renamed afterwards
        (building / layout.SPEC).write_text(canonical_json(about, digits=None), encoding="utf-8")
        voltage = unusual_voltage(pq.read_table(building / layout.INDEX, columns=["span"])["span"].to_numpy())
        short = [short_text(index.short, params.signal)] if index.short else []
        warnings = (*cohort.notes, *short, *apart.warnings, *([voltage] if voltage else []))
    for stale in out.parent.glob(f"{glob.escape(f'.{out.name}.partial-')}*"):
        shutil.rmtree(stale, ignore_errors=True)
    return PreprocessReport(
        **about["counts"],
        reasons=dict(sorted(reasons.items())),
        flags=dict(sorted(index.flags.items())),
        warnings=warnings,
        seconds=time.perf_counter() - start,
        resumed=sum(shard.count for shard in made if shard.resumed),
        overlap=about["overlap"],
    )


def require_usable(cohort: Cohort) -> None:
    """Check that a cohort has recordings and that no target has the name of another column of the index.

    Raises:
        InputError: the cohort is empty, or a target has the name of another column; all such targets are listed.
    """
    where = cohort.source or cohort.name
    if len(cohort) == 0:
        raise InputError(Problem(where, "rows", "there are no recordings", "Use a cohort with recordings"))
    taken = {*layout.DESCRIPTIVE_COLUMNS, *layout.FOUND_COLUMNS, *layout.FIGURE_COLUMNS} & set(cohort.targets)
    if taken:
        remedy = "Rename the column: the index of a store uses this name"
        raise InputError(Problem(where, name, "cannot be used as a target name", remedy) for name in sorted(taken))


def _require_window_ids(cohort: Cohort, params: Params) -> None:
    """Check that the ids of windows cannot be those of other recordings.

    Raises:
        InputError: with ``signal.windows: all``, the id of a recording is that of a window of another recording. Lists all.
    """
    if params.signal.windows == "first":
        return
    names = set(cohort.table["record_id"].astype(str))
    where, remedy = cohort.source or cohort.name, "Rename the recording, or set signal.windows to first"
    problems = [
        Problem(where, "record_id", f"{name} is also the id of window {window} of {record_id}", remedy)
        for name in sorted(names)
        for record_id, window in (layout.split_window_id(name),)
        if window and record_id in names
    ]
    if problems:
        raise InputError(problems)


def _run_key(cohort: Cohort, params: Params) -> str:
    """Return a hash of all inputs that determine the shards. It does not depend on labels, patients and splits."""
    about = {
        "ecgssl": __version__,
        "store": layout.VERSION,
        "waveform_hash": WAVEFORM_HASH,
        "signal": params.signal.fingerprint,
        "windows": params.signal.windows,
        "quality": params.quality.model_dump(mode="json"),
        "lsb": params.store.lsb,
        "shard_recordings": params.store.shard_recordings,
        "root": str(cohort.root.absolute()),
    }
    digest = hashlib.sha256(canonical_json(about).encode())
    for name in COLUMNS:
        if name in cohort.table:
            digest.update("\0".join([f"\0\0{name}", *map(str, cohort.table[name])]).encode())
    return digest.hexdigest()[:12]


def _slices(cohort: Cohort, params: Params) -> list[tuple[int, int]]:
    """Return the first row and the end row (exclusive) of each shard. Shards have nearly equal sizes."""
    count = -(-len(cohort) // params.store.shard_recordings)
    edges = [number * len(cohort) // count for number in range(count + 1)]
    return list(pairwise(edges))


def _make(cohort: Cohort, params: Params, work: Work, progress: bool) -> list[ShardResult]:
    """Make or reuse all shards and return their results. Stop early if too many recordings are rejected."""
    slices = _slices(cohort, params)
    tasks = (
        (work, number, begin, recording_requests(cohort, begin, end)) for number, (begin, end) in enumerate(slices)
    )
    store = params.store
    made: list[ShardResult] = []
    rejected = 0
    with (
        progress_bar("preprocess", len(cohort), enabled=progress) as advance,
        closing(run_unordered(make_shard, tasks, len(slices), store.workers, store.backend, store.scheduler)) as shards,
    ):
        for shard in shards:
            made.append(shard)
            rejected += shard.rejected
            advance(shard.count, rejected=rejected)
            if rejected / len(cohort) > store.max_rejected_fraction:
                break
    return made


def _require_enough(
    cohort: Cohort, params: Params, made: list[ShardResult], reasons: Counter[str], listing: Path
) -> None:
    rejected = reasons.total()
    allowed = params.store.max_rejected_fraction
    if rejected / len(cohort) <= allowed and rejected < len(cohort):
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    seen = sum(shard.count for shard in made)
    stopped = f"; stopped after {seen} recordings" if seen < len(cohort) else ""
    raise InputError(
        Problem(
            cohort.source or cohort.name,
            "store.max_rejected_fraction",
            f"{rejected} of {len(cohort)} recordings cannot be used ({counts}); the limit is {allowed:.0%}{stopped}",
            f"See {listing}. Fix the recordings, change section quality, or raise the limit",
        )
    )


def _about(
    cohort: Cohort,
    params: Params,
    work: Work,
    made: list[ShardResult],
    pruned: dict[int, tuple[int, str]],
    folder: Path,
    index: IndexCounts,
) -> dict[str, Any]:
    held = {s.number: (s.stored, read_part(work.part(s.number))[1]) for s in made} | pruned
    shards = [
        {"file": work.shard(number).name, "count": count, "sha256": digest} for number, (count, digest) in held.items()
    ]
    stored = index.recordings
    return {
        "format": layout.FORMAT,
        "version": layout.VERSION,
        "spec": params.signal.to_dict(),
        "fingerprint": params.signal.fingerprint,
        "windows": params.signal.windows,
        "quality": params.quality.model_dump(mode="json"),
        "lsb": params.store.lsb,
        "count": index.rows,
        "shard_recordings": params.store.shard_recordings,
        "shards": shards,
        "index_sha256": sha256_of(folder / layout.INDEX),
        "targets": list(cohort.targets),
        "target_kinds": {name: cohort.kind(name).published() for name in cohort.targets if name in cohort.kinds},
        "cohort": {"name": cohort.name, "licence": cohort.licence, "notes": list(cohort.notes)},
        "counts": {
            "counted": len(cohort),
            "stored": stored,
            "rejected": len(cohort) - stored,
            "short": index.short,
            "windows": index.rows,
        },
    }

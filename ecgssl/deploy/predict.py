"""Scoring of files: a table with one row per input, failures included, in the order of the inputs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from numpy.typing import NDArray

from ecgssl.deploy.bundle import Bundle, load_bundle
from ecgssl.deploy.prepared import COLUMNS, prepare_listed
from ecgssl.deploy.recordings import list_recordings
from ecgssl.errors import InputError, Problem
from ecgssl.files import make_folder, write_atomic
from ecgssl.progress import progress
from ecgssl.training.device import resolve_device

SUFFIXES = (".csv", ".parquet")

Fill = Callable[[dict[str, NDArray[np.float32]]], NDArray[np.float32]]
"""From the model's outputs by name to (B, columns)."""


@dataclass(frozen=True)
class PredictReport:
    """What became of the inputs.

    Args:
        counted: rows written; ``scored + rejected``.
        scored, rejected: how many.
        unknown: files in folders that no reader knows; they get no row.
        reasons: of rejections, with counts.
        seconds: wall time by stage: ``load``, ``prepare`` (reading and cleaning), ``model``, ``write``.
    """

    counted: int
    scored: int
    rejected: int
    unknown: int
    reasons: dict[str, int]
    seconds: dict[str, float]


def predict(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    batch_size: int = 32,
    workers: int = 1,
    show_progress: bool = True,
) -> PredictReport:
    """Score recordings with a classifier.

    The table has the columns of ``ecgssl.deploy.prepared.COLUMNS``, then ``model`` (``Bundle.version``), ``fingerprint``
    (of the signal contract), and for each target ``prob__NAME`` and ``logit__NAME``, empty for a rejected recording.
    Scores of a recording do not depend on what else is scored, up to rounding (1e-5), nor on ``workers``.

    Args:
        bundle_path: folder of ``export_bundle``.
        inputs: recordings in any format, folders and manifests, see ``list_recordings``.
        out: ``.csv`` or ``.parquet``; appears whole or not at all.
        batch_size: recordings at a time.
        workers: processes that read and clean; -1 for one per core.
        show_progress: draw a progress bar on a terminal.

    Raises:
        InputError: an unusable bundle, one without classifier, inputs without recordings, another suffix of ``out`` or a
            place that cannot be written to.
    """

    def columns(bundle: Bundle) -> tuple[list[str], Fill]:
        if not bundle.targets:
            what = "is an encoder, it has no targets to score"
            remedy = "Embed the recordings, or name the bundle of a classifier"
            raise InputError(Problem(str(bundle_path), "kind", what, remedy))
        names = [f"{kind}__{target}" for target in bundle.targets for kind in ("prob", "logit")]

        def pairs(outputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
            both = np.stack([outputs["probability"], outputs["logits"]], axis=2)
            return both.reshape(len(both), -1)

        return names, pairs

    return _score(bundle_path, inputs, out, columns, batch_size, workers, show_progress)


def embed(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    batch_size: int = 32,
    workers: int = 1,
    show_progress: bool = True,
) -> PredictReport:
    """Embed recordings with an encoder, or that of a classifier; as ``predict``, with columns ``emb_0000`` and on."""

    def columns(bundle: Bundle) -> tuple[list[str], Fill]:
        return [f"emb_{i:04d}" for i in range(bundle.embed_dim)], lambda outputs: outputs["embedding"]

    return _score(bundle_path, inputs, out, columns, batch_size, workers, show_progress)


def _score(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    columns: Callable[[Bundle], tuple[list[str], Fill]],
    batch_size: int,
    workers: int,
    show_progress: bool,
) -> PredictReport:
    start = time.perf_counter()
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES or out.is_dir():
        raise InputError(Problem(str(out), "suffix", "is not .csv or .parquet", "Name a table to write"))
    if batch_size < 1:
        raise InputError(Problem("batch size", "value", f"is {batch_size}", "Take 1 or more"))
    listed = list_recordings(inputs)
    items = listed.items
    bundle = load_bundle(bundle_path)
    names, fill = columns(bundle)
    # found out before hours of scoring
    make_folder(out.parent)
    bundle.graph.to(resolve_device("auto"))
    values = np.full((len(items), len(names)), np.nan, dtype=np.float32)
    rows: list[dict[str, Any]] = []
    seconds = {"load": time.perf_counter() - start, "prepare": 0.0, "model": 0.0, "write": 0.0}
    chunks = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
    jobs = min(effective_n_jobs(workers), len(chunks))
    with (
        progress("score", len(items), enabled=show_progress) as advance,
        parallel_config("loky", inner_max_num_threads=1) if jobs > 1 else parallel_config("sequential"),
    ):
        since = time.perf_counter()
        prepared = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(prepare_listed)(chunk, bundle.spec, bundle.quality, bundle.lsb) for chunk in chunks
        )
        for chunk in prepared:
            now = time.perf_counter()
            seconds["prepare"] += now - since
            ok = [len(rows) + i for i, row in enumerate(chunk.rows) if row["status"] == "ok"]
            if ok:
                values[ok] = fill(bundle.graph.run(chunk.signal, chunk.lead_mask))
            rows += chunk.rows
            advance(len(chunk.rows))
            since = time.perf_counter()
            seconds["model"] += since - now
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["model"] = bundle.version
    table["fingerprint"] = bundle.fingerprint
    table = pd.concat([table, pd.DataFrame(values, columns=names)], axis=1)
    _write(out, table)
    seconds["write"] = time.perf_counter() - since
    refused = Counter(row["reasons"] for row in rows if row["status"] == "rejected")
    rejected = sum(refused.values())
    reasons = dict(sorted(refused.items()))
    return PredictReport(len(rows), len(rows) - rejected, rejected, listed.unknown, reasons, seconds)


def _write(out: Path, table: pd.DataFrame) -> None:
    if out.suffix.lower() == ".parquet":
        for name in ("sampling_rate", "duration", "heart_rate"):
            table[name] = table[name].astype(float)
        write_atomic(out, table.to_parquet(None, engine="pyarrow", compression="zstd", index=False))
    else:
        # nine digits give every float32 back
        write_atomic(out, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))

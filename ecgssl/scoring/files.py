"""Scoring of recordings in files. The output has one row per recording, including rejected recordings."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from ecgssl.config import ManifestParams
from ecgssl.errors import InputError, Problem, Stopped
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.export.engine import Device
from ecgssl.files import make_folder
from ecgssl.output_lock import exclusive
from ecgssl.pool import run_ordered
from ecgssl.preprocessing.inputs import Inputs, Listed, list_recordings
from ecgssl.progress import progress
from ecgssl.scoring.preprocess import COLUMNS, POLICIES, PreparedRecording, Windows, prepare_files
from ecgssl.scoring.score_file import PART, ScoreFile, require_format, require_same_rows
from ecgssl.scoring.scores import (
    Output,
    recording_outputs,
    require_policy,
    require_targets,
    score_cells,
    score_columns,
)
from ecgssl.training.graceful_stop import StopRequest


@dataclass(frozen=True)
class PredictReport:
    """Counts and times of a scoring run.

    Args:
        counted: number of rows in the output, equal to ``scored + rejected``.
        scored, rejected: numbers of recordings.
        unknown: number of files in input folders whose format is not supported. They have no row.
        reasons: number of rejected recordings by reason; a reason may consist of several codes joined by ";".
        seconds: wall time in s by stage: ``load`` (inputs and bundle), ``prepare`` (time spent waiting for
            preprocessing), ``model``, ``write``.
        resumed: number of rows written by an earlier, interrupted run.
        unknown_files: paths of the ``unknown`` files.
    """

    counted: int
    scored: int
    rejected: int
    unknown: int
    reasons: dict[str, int]
    seconds: dict[str, float]
    resumed: int = 0
    unknown_files: tuple[str, ...] = ()


def predict(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    windows: Windows = "contract",
    batch_size: int = 32,
    workers: int = 1,
    device: Device = "auto",
    root: Path | str | None = None,
    reading: ManifestParams | None = None,
    show_progress: bool = True,
    require_signature: Path | str | None = None,
    overwrite: bool = True,
) -> PredictReport:
    """Score recordings with a classifier and write a table.

    The columns are those of ``ecgssl.scoring.preprocess.COLUMNS``, followed by ``window_policy``, ``model``
    (``Bundle.version``), ``fingerprint`` (of the preprocessing settings), ``encoder`` (its name and pretraining data) and
    those of ``ecgssl.scoring.scores.score_columns``. The scores of a rejected recording are empty. On a CPU, the scores of a
    recording do not depend on the other inputs, ``batch_size`` or ``workers``. On a GPU, they can differ by rounding
    errors (about 1e-5).

    An interrupted run keeps its finished parts in a hidden folder next to ``out``. Run the same call again to resume
    it; the result is identical to that of an uninterrupted run. Do not change the input files in between, because
    recordings in finished parts are not read again.

    Args:
        bundle_path: folder written by ``export_bundle``, or name of a shipped model.
        inputs: recordings in any supported format, folders, glob patterns and manifests, see ``list_recordings``.
        out: output file, ``.csv``, ``.jsonl`` or ``.parquet``; it is written atomically.
        windows: window policy for recordings at least twice as long as the input of the model.
        batch_size: number of recordings that are read, and on a GPU also scored, together. With the policies ``mean`` and
            ``max``, it is 1.
        workers: number of preprocessing processes; -1 for one per CPU core.
        device: device of the model; ``auto`` uses a GPU if available.
        root: folder that relative paths in manifests start from; by default the folder of each manifest.
        reading: settings for reading the columns of manifests.
        show_progress: show a progress bar on a terminal.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.
        overwrite: replace an existing ``out`` with other recordings or of another model.

    Raises:
        InputError: the bundle is invalid or has no classifier, an input is invalid (see ``list_recordings``), ``out`` has
            an unknown suffix, cannot be written, is used by another process or exists with other rows (without
            ``overwrite``), ``batch_size`` is less than 1, the window policy is unknown or does not support the task, the
            device is not available, or a worker process died.
        ContractMismatch: the bundle was made with another version of the cleaning code.
        Stopped: SIGTERM or Ctrl-C was received; all complete parts are saved.
    """
    return _score(
        "logits",
        bundle_path,
        require_signature,
        inputs,
        out,
        windows,
        batch_size,
        workers,
        device,
        root,
        reading,
        show_progress,
        overwrite,
    )


def embed(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    windows: Windows = "contract",
    batch_size: int = 32,
    workers: int = 1,
    device: Device = "auto",
    root: Path | str | None = None,
    reading: ManifestParams | None = None,
    show_progress: bool = True,
    require_signature: Path | str | None = None,
    overwrite: bool = True,
) -> PredictReport:
    """Embed recordings with the encoder of a bundle and write a table. See ``predict`` for the arguments and errors.

    The bundle may contain an encoder or a classifier. The columns of the embedding are named ``emb_0000``, ``emb_0001`` etc.
    """
    return _score(
        "embedding",
        bundle_path,
        require_signature,
        inputs,
        out,
        windows,
        batch_size,
        workers,
        device,
        root,
        reading,
        show_progress,
        overwrite,
    )


def _score(
    output: Output,
    bundle_path: Path | str,
    require_signature: Path | str | None,
    inputs: Sequence[Path | str],
    out: Path | str,
    windows: Windows,
    batch_size: int,
    workers: int,
    device: Device,
    root: Path | str | None,
    reading: ManifestParams | None,
    show_progress: bool,
    overwrite: bool,
) -> PredictReport:
    start = time.perf_counter()
    out = Path(out)
    require_format(out)
    if batch_size < 1:
        raise InputError(Problem("batch size", "value", f"is {batch_size}", "Use 1 or more"))
    if windows not in POLICIES:
        raise InputError(Problem("windows", "policy", f"is {windows!r}", f"Use one of {', '.join(POLICIES)}"))
    with exclusive(out):
        listed = list_recordings(inputs, root, reading)
        bundle = load_bundle(bundle_path, device=device, require_signature=require_signature)
        value_columns = _columns(bundle, output, windows, str(bundle_path))
        # create the output folder first, so that an error is raised before the recordings are scored
        make_folder(out.parent)
        seconds = {"load": time.perf_counter() - start, "prepare": 0.0, "model": 0.0, "write": 0.0}
        return _score_into(
            out,
            output,
            bundle,
            value_columns,
            listed,
            windows,
            batch_size,
            workers,
            seconds,
            show_progress,
            overwrite,
        )


def _score_into(
    out: Path,
    output: Output,
    bundle: Bundle,
    value_columns: dict[str, type],
    listed: Inputs,
    windows: Windows,
    batch_size: int,
    workers: int,
    seconds: dict[str, float],
    show_progress: bool,
    overwrite: bool,
) -> PredictReport:
    """Write the table. The caller holds the lock on ``out``. The time of each stage is added to ``seconds``."""
    items = listed.items
    constants = {"window_policy": str(windows), "model": bundle.version, "fingerprint": bundle.fingerprint}
    constants["encoder"] = bundle.encoder
    verb = "predict" if output == "logits" else "embed"
    about = constants | {"verb": verb, "device": bundle.device, "inputs": _digest(items)}
    columns = COLUMNS | dict.fromkeys(constants, str) | value_columns
    if not overwrite:
        require_same_rows(out, list(columns), [item.record_id for item in items], bundle.version)
    file = ScoreFile(out, columns, about, len(items))
    done = {number: reasons for number in range(file.parts) if (reasons := file.done(number)) is not None}
    resumed = sum(len(_of_part(items, number)) for number in done)
    # process single recordings if all windows are scored, because long recordings have many windows
    chunk = batch_size if windows == "contract" else 1
    chunks = list(_chunks(items, [n for n in range(file.parts) if n not in done], chunk))
    tasks = ((part, bundle.spec, bundle.quality, bundle.lsb, windows) for _, part in chunks)
    with (
        progress("score", len(items), done=resumed, enabled=show_progress) as advance,
        closing(run_ordered(prepare_files, tasks, len(chunks), workers)) as results,
        StopRequest() as stop,
        file.without_empty_folder(),
    ):
        rows: list[dict[str, Any]] = []
        cells: dict[str, list[Any]] = {name: [] for name in value_columns}
        since = time.perf_counter()
        for (number, part), prepared in zip(chunks, results, strict=True):
            now = time.perf_counter()
            seconds["prepare"] += now - since
            for name, values in _cells(bundle, output, prepared, windows).items():
                cells[name] += values
            rows += [one.row for one in prepared]
            since = time.perf_counter()
            seconds["model"] += since - now
            if len(rows) == len(_of_part(items, number)):
                done[number] = Counter(row["reasons"] for row in rows if row["status"] == "rejected")
                table = {name: [row.get(name) for row in rows] for name in COLUMNS}
                table |= {name: [value] * len(rows) for name, value in constants.items()}
                file.write(number, table | cells, done[number])
                rows, cells = [], {name: [] for name in value_columns}
                now, since = since, time.perf_counter()
                seconds["write"] += since - now
            advance(len(part))
            if stop.requested and len(done) < file.parts:
                kept = sum(len(_of_part(items, n)) for n in done)
                raise Stopped(
                    f"stopped with {kept} of {len(items)} recordings saved; run the same command again to continue"
                )
    file.finish()
    seconds["write"] += time.perf_counter() - since
    reasons = sum(done.values(), Counter[str]())
    rejected = reasons.total()
    counts = (len(items), len(items) - rejected, rejected, len(listed.unknown))
    return PredictReport(*counts, dict(sorted(reasons.items())), seconds, resumed, listed.unknown)


def _columns(bundle: Bundle, output: Output, windows: Windows, where: str) -> dict[str, type]:
    """Check the bundle and the window policy. Return the names and types of the columns that ``_cells`` fills."""
    decision = require_targets(bundle, where) if output == "logits" else None
    require_policy(bundle, windows, output)
    if decision is not None:
        return score_columns(decision)
    return {f"emb_{i:04d}": float for i in range(bundle.embed_dim)}


def _cells(bundle: Bundle, output: Output, prepared: list[PreparedRecording], windows: Windows) -> dict[str, list[Any]]:
    values = recording_outputs(bundle, prepared, output, windows)
    if output == "logits" and bundle.decision is not None:
        return score_cells(bundle.decision, values)
    scored = [len(one.digital) > 0 for one in prepared]
    return {
        f"emb_{k:04d}": [value if ok else None for value, ok in zip(column, scored, strict=True)]
        for k, column in enumerate(values.T)
    }


def _of_part(items: Sequence[Listed], number: int) -> Sequence[Listed]:
    return items[number * PART : (number + 1) * PART]


def _chunks(items: Sequence[Listed], parts: list[int], size: int) -> Iterator[tuple[int, Sequence[Listed]]]:
    for number in parts:
        own = _of_part(items, number)
        yield from ((number, own[i : i + size]) for i in range(0, len(own), size))


def _digest(items: Sequence[Listed]) -> str:
    """Return the SHA-256 of the names, paths and metadata overrides of all recordings."""
    digest = hashlib.sha256()
    for item in items:
        rate, unit, leads = astuple(item.overrides)
        # use the text of version 0.1.0, so that runs interrupted in that version can be resumed
        overrides = f"Stated(sampling_rate={rate!r}, unit={unit!r}, leads={leads!r})"
        digest.update(f"({item.record_id!r}, {str(Path(item.path).absolute())!r}, {overrides})".encode())
    return digest.hexdigest()

"""Scoring of files: a table with one row per input, failures included, in the order of the inputs."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

from ecgssl.errors import InputError, Problem, Stopped
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.files import make_folder
from ecgssl.pool import run_ordered
from ecgssl.preprocessing.inputs import Listed, list_recordings
from ecgssl.progress import progress
from ecgssl.scoring.preprocess import COLUMNS, POLICIES, PreparedRecording, Windows, prepare_files
from ecgssl.scoring.score_file import PART, ScoreFile, require_format
from ecgssl.scoring.scores import recording_outputs, require_policy, require_targets, score_cells, score_columns
from ecgssl.training.device import resolve_device
from ecgssl.training.graceful_stop import StopRequest

Device = Literal["auto", "cpu", "cuda"]
Cells = Callable[[list[PreparedRecording]], dict[str, list[Any]]]
"""What the model says of some recordings, by column."""


@dataclass(frozen=True)
class PredictReport:
    """What became of the inputs.

    Args:
        counted: rows written; ``scored + rejected``.
        scored, rejected: how many.
        unknown: files in folders that no reader knows; they get no row.
        reasons: of rejections, with counts.
        seconds: wall time by stage: ``load``, ``prepare`` (waiting for what was read and cleaned), ``model``, ``write``.
        resumed: rows that an earlier, interrupted run had done.
    """

    counted: int
    scored: int
    rejected: int
    unknown: int
    reasons: dict[str, int]
    seconds: dict[str, float]
    resumed: int = 0


def predict(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    windows: Windows = "contract",
    batch_size: int = 32,
    workers: int = 1,
    device: Device = "auto",
    show_progress: bool = True,
) -> PredictReport:
    """Score recordings with a classifier.

    The table has the columns of ``ecgssl.scoring.preprocess.COLUMNS``, then ``window_policy``, ``model`` (``Bundle.version``),
    ``fingerprint`` (of the signal contract) and those of ``ecgssl.scoring.scores.score_columns``, empty for a rejected
    recording. On a CPU, scores of a recording do not depend on what else is scored, on ``batch_size`` or ``workers``, bit for
    bit; on a GPU up to rounding (1e-5).

    A run that was stopped or killed leaves its parts in a hidden folder beside ``out``; the same command goes on from there,
    and ends in the same bytes. Files are not looked at again: leave them alone meanwhile.

    Args:
        bundle_path: folder of ``export_bundle``.
        inputs: recordings in any format, folders, patterns and manifests, see ``list_recordings``.
        out: ``.csv``, ``.jsonl`` or ``.parquet``; appears whole or not at all.
        windows: what is scored of a recording of two durations or more.
        batch_size: recordings that a process reads at a time, and that a GPU is given at a time.
        workers: processes that read and clean; -1 for one per core.
        device: ``auto`` takes the GPU where there is one.
        show_progress: draw a progress bar on a terminal.

    Raises:
        InputError: an unusable bundle, one without classifier, inputs without recordings, another suffix of ``out`` or a
            place that cannot be written to, a policy that makes no sense for the bundle, or a process that died.
        Stopped: by SIGTERM or Ctrl-C, with everything but the part in work saved.
    """

    def columns(bundle: Bundle) -> tuple[dict[str, type], Cells]:
        decision = require_targets(bundle, str(bundle_path))
        require_policy(bundle, windows, "logits")
        return score_columns(decision), lambda ready: score_cells(
            decision, recording_outputs(bundle, ready, "logits", windows)
        )

    return _score("predict", bundle_path, inputs, out, columns, windows, batch_size, workers, device, show_progress)


def embed(
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    windows: Windows = "contract",
    batch_size: int = 32,
    workers: int = 1,
    device: Device = "auto",
    show_progress: bool = True,
) -> PredictReport:
    """Embed recordings with an encoder, or that of a classifier; as ``predict``, with columns ``emb_0000`` and on."""

    def columns(bundle: Bundle) -> tuple[dict[str, type], Cells]:
        require_policy(bundle, windows, "embedding")
        names = [f"emb_{i:04d}" for i in range(bundle.embed_dim)]

        def cells(ready: list[PreparedRecording]) -> dict[str, list[Any]]:
            values = recording_outputs(bundle, ready, "embedding", windows)
            scored = [len(one.digital) > 0 for one in ready]
            return {
                name: [value if ok else None for value, ok in zip(values[:, k], scored, strict=True)]
                for k, name in enumerate(names)
            }

        return dict.fromkeys(names, float), cells

    return _score("embed", bundle_path, inputs, out, columns, windows, batch_size, workers, device, show_progress)


def _score(
    verb: str,
    bundle_path: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    columns: Callable[[Bundle], tuple[dict[str, type], Cells]],
    windows: Windows,
    batch_size: int,
    workers: int,
    device: Device,
    show_progress: bool,
) -> PredictReport:
    start = time.perf_counter()
    out = Path(out)
    require_format(out)
    if batch_size < 1:
        raise InputError(Problem("batch size", "value", f"is {batch_size}", "Take 1 or more"))
    if windows not in POLICIES:
        raise InputError(Problem("windows", "policy", f"is {windows!r}", f"Use one of {', '.join(POLICIES)}"))
    listed = list_recordings(inputs)
    items = listed.items
    bundle = load_bundle(bundle_path)
    own, score = columns(bundle)
    # found out before hours of scoring
    make_folder(out.parent)
    try:
        where = resolve_device(device)
    except InputError:
        raise InputError(Problem("device", device, "there is no such device here", "Use 'auto' or 'cpu'")) from None
    bundle.graph.to(where)
    stated = {"window_policy": str(windows), "model": bundle.version, "fingerprint": bundle.fingerprint}
    about = stated | {"verb": verb, "device": where.type, "inputs": _digest(items)}
    file = ScoreFile(out, COLUMNS | dict.fromkeys(stated, str) | own, about, len(items))
    done = {number: reasons for number in range(file.parts) if (reasons := file.done(number)) is not None}
    resumed = sum(len(_of_part(items, number)) for number in done)
    seconds = {"load": time.perf_counter() - start, "prepare": 0.0, "model": 0.0, "write": 0.0}
    # windows of a long recording are many
    chunk = batch_size if windows == "contract" else 1
    chunks = list(_chunks(items, [n for n in range(file.parts) if n not in done], chunk))
    tasks = ((part, bundle.spec, bundle.quality, bundle.lsb, windows) for _, part in chunks)
    with (
        progress("score", len(items), done=resumed, enabled=show_progress) as advance,
        closing(run_ordered(prepare_files, tasks, len(chunks), workers)) as prepared,
        StopRequest() as stop,
    ):
        ready: list[dict[str, Any]] = []
        cells: dict[str, list[Any]] = {name: [] for name in own}
        since = time.perf_counter()
        for (number, part), made in zip(chunks, prepared, strict=True):
            now = time.perf_counter()
            seconds["prepare"] += now - since
            for name, values in score(made).items():
                cells[name] += values
            ready += [one.row for one in made]
            since = time.perf_counter()
            seconds["model"] += since - now
            if len(ready) == len(_of_part(items, number)):
                done[number] = Counter(row["reasons"] for row in ready if row["status"] == "rejected")
                table = {name: [row.get(name) for row in ready] for name in COLUMNS}
                table |= {name: [value] * len(ready) for name, value in stated.items()}
                file.write(number, table | cells, done[number])
                ready, cells = [], {name: [] for name in own}
                now, since = since, time.perf_counter()
                seconds["write"] += since - now
            advance(len(part))
            if stop.requested and len(done) < file.parts:
                kept = sum(len(_of_part(items, n)) for n in done)
                raise Stopped(
                    f"stopped with {kept} of {len(items)} recordings saved; the same command goes on from there"
                )
    file.finish()
    seconds["write"] += time.perf_counter() - since
    reasons = sum(done.values(), Counter[str]())
    rejected = reasons.total()
    counts = (len(items), len(items) - rejected, rejected, listed.unknown)
    return PredictReport(*counts, dict(sorted(reasons.items())), seconds, resumed)


def _of_part(items: Sequence[Listed], number: int) -> Sequence[Listed]:
    return items[number * PART : (number + 1) * PART]


def _chunks(items: Sequence[Listed], parts: list[int], size: int) -> Iterator[tuple[int, Sequence[Listed]]]:
    for number in parts:
        own = _of_part(items, number)
        yield from ((number, own[i : i + size]) for i in range(0, len(own), size))


def _digest(items: Sequence[Listed]) -> str:
    """Hash of the names, paths and metadata overrides of all recordings."""
    digest = hashlib.sha256()
    for item in items:
        rate, unit, leads = astuple(item.overrides)
        # the text that version 0.1.0 hashed, so that its interrupted score files can be resumed
        overrides = f"Stated(sampling_rate={rate!r}, unit={unit!r}, leads={leads!r})"
        digest.update(f"({item.record_id!r}, {str(Path(item.path).absolute())!r}, {overrides})".encode())
    return digest.hexdigest()

"""Check of a cohort before training: report all problems in its table and its recordings.

This module writes no files. It uses the same function as preprocessing
(``ecgssl.preprocessing.prepare.prepare_request``), so it rejects the same recordings for the same reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import OneSet, Params, QualityParams, SignalSpec
from ecgssl.datasets.cohort import SPLITS, Cohort, require_targets
from ecgssl.datasets.table.manifest import examine_manifest
from ecgssl.datasets.table.read_table import Issue
from ecgssl.errors import InputError, Problem
from ecgssl.io.recording import Recording
from ecgssl.leakage.overlap import MOST_PROBLEMS, ORDER, REMEDY
from ecgssl.pool import run_unordered
from ecgssl.preprocessing.enforce_splits import Policy, find_crossings, moved_text, reunite_few_copies
from ecgssl.preprocessing.prepare import Rejected, run_steps
from ecgssl.preprocessing.preprocess import require_usable
from ecgssl.preprocessing.request import RecordingRequest, recording_requests
from ecgssl.preprocessing.window_steps import window_steps
from ecgssl.progress import progress as progress_bar
from ecgssl.signal.leads import identify_leads
from ecgssl.signal.waveform_match import WaveformCodes, same_recording
from ecgssl.store import layout

_CHUNK = 64
_WORDS = ("stage", "reason", "detail", "format", "overridden", "file_sex", "reasons", "waveform_hash")
_NUMBERS = (
    "rate",
    "duration",
    "leads_in_file",
    "file_age",
    "source_rate",
    "recorded",
    "windows",
    "lead_mask",
    "clipped",
    *layout.FIGURE_COLUMNS,
)
_TYPES = {"place": "int64"} | dict.fromkeys(_WORDS, "object") | dict.fromkeys(_NUMBERS, "float64")


@dataclass(frozen=True)
class Checked:
    """Result of checking a cohort.

    Args:
        cohort: cohort, with the part of its table that could be parsed.
        issues: problems in the table; empty if preprocessing accepts the table.
        recordings: table with one row per recording that was read. ``place`` is the row in the cohort's table, from 0.
            ``stage``, ``reason`` and ``detail`` describe the rejection (``None`` if kept). ``format``, ``rate`` in Hz,
            ``duration`` in s, ``leads_in_file``, ``overridden``, ``file_age`` and ``file_sex`` describe the file.
            ``waveform`` is a number that copies of a recording share; -1 if the recording was rejected before the
            search for copies. ``windows`` is the number of rows that preprocessing stores. Other columns are results of
            preprocessing, for the first stored window.
        there: (len(cohort),) bool, true for rows whose file exists. Only these files are read.
        chosen: set that was checked, with all parameters.
        asked: targets given to ``check``; empty if none were given.
    """

    cohort: Cohort
    issues: tuple[Issue, ...]
    recordings: pd.DataFrame
    there: NDArray[np.bool_]
    chosen: OneSet
    asked: tuple[str, ...] = ()

    @property
    def rejected(self) -> pd.DataFrame:
        """Return the recordings that preprocessing rejects."""
        return self.recordings[self.recordings["reason"].notna()]

    @property
    def kept(self) -> pd.DataFrame:
        """Return the recordings that preprocessing stores."""
        return self.recordings[self.recordings["reason"].isna()]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Return the manifest row number of each row in the cohort's table."""
        return np.asarray(self.cohort.rows, dtype=np.int64)

    def described(self, part: pd.DataFrame) -> pd.DataFrame:
        """Join some rows of ``recordings`` with columns of the cohort's table.

        The columns are ``row`` (row number in the manifest), and if present ``split``, ``patient_id``, ``age``,
        ``sex``, ``site`` and ``device``. Each target is added as ``target NAME``.
        """
        table = self.cohort.table
        known = [name for name in ("split", "patient_id", "age", "sex", "site", "device") if name in table]
        targets = {name: f"target {name}" for name in self.cohort.targets}
        rows = table[[*known, *targets]].rename(columns=targets).assign(row=self.rows).iloc[part["place"].astype(int)]
        return pd.concat([part.reset_index(drop=True), rows.reset_index(drop=True)], axis=1)

    @property
    def exit_code(self) -> int:
        """Return the exit code: 2 for problems in the table, 3 for rejected recordings, otherwise 0."""
        return 2 if self.issues else 3 if len(self.rejected) else 0

    @property
    def would_stop(self) -> bool:
        """Return whether preprocessing would stop, because too many or all recordings are rejected."""
        count, out = len(self.cohort), len(self.rejected)
        return out > self.chosen.params.store.max_rejected_fraction * count or (count > 0 and out == count)


def check(chosen: OneSet, targets: Sequence[str] = (), progress: bool = True) -> Checked:
    """Check the table of a local cohort and all recordings in it.

    Args:
        chosen: set with reader ``cohort``; its section and ``signal``, ``quality`` and ``store`` are used as in
            preprocessing.
        targets: target columns of a task. An unknown target, or one with too few values in a split, is an issue (see
            ``ecgssl.datasets.cohort.require_targets``).
        progress: show a progress bar in a terminal.

    Raises:
        InputError: no manifest is set, it cannot be read as a table, or the targets file is invalid.
    """
    params, data = chosen.params, chosen.data
    if data.manifest is None:
        field = f"sets.{chosen.name}.manifest"
        raise InputError(Problem(field, "none", "no manifest is set", f"Set {field} to a CSV or Parquet file"))
    examined = examine_manifest(
        data.manifest,
        data.root,
        reading=data,
        targets_file=data.targets_file,
        seed=params.seed,
        split=data.split,
        may_cross=data.overlap != "error",
    )
    cohort = examined.cohort
    issues = list(examined.issues)
    # without a split in the table, the split is made after all errors in the table are fixed
    splits = SPLITS if (cohort.table["split"] != "").any() else ()
    for needed in (lambda: require_usable(cohort), lambda: require_targets(cohort, targets, splits)):
        # an empty table has already been reported as an issue
        if len(cohort):
            try:
                needed()
            except InputError as error:
                issues += [Issue(p.field, p.what, p.remedy) for p in error.problems]
    recordings = _read_all(cohort, examined.there, params, progress)
    cohort, more = _enforce_splits(cohort, recordings, data.overlap)
    issues += more
    return Checked(cohort, tuple(issues), recordings, examined.there, chosen, tuple(targets))


def _enforce_splits(cohort: Cohort, recordings: pd.DataFrame, policy: Policy) -> tuple[Cohort, list[Issue]]:
    """Find recordings shared between splits, and return the cohort with the splits that preprocessing uses.

    With policy ``error``, also return shared recordings as issues. With policy ``drop_train``, mark them as rejected in
    ``recordings``.
    """
    kept = np.flatnonzero(recordings["reason"].isna())
    places = recordings["place"].to_numpy(dtype=np.int64)[kept]
    waveforms = same_recording(WaveformCodes.parse(recordings["waveform_hash"].iloc[kept].tolist()))
    recordings["waveform"] = -1
    recordings.loc[kept, "waveform"] = waveforms
    cohort, moved = reunite_few_copies(cohort, places, waveforms)
    if moved:
        cohort = replace(cohort, notes=(*cohort.notes, moved_text(moved)))
    found = find_crossings(cohort, places, waveforms)
    if policy == "drop_train":
        for row, why in found.left_out().items():
            recordings.loc[kept[row], ["stage", "reason", "detail"]] = "overlap", "overlap", why
    if policy != "error":
        return cohort, []
    # patients in several splits have already been reported as issues of the table
    crossings = [(c, tuple(cohort.rows[places[row]] for row in c.rows)) for c in found.of("waveform")]
    issues = [
        Issue(
            "split",
            f"have the same waveform and are in {', '.join(sorted(set(c.splits), key=ORDER.index))}",
            REMEDY,
            rows,
        )
        for c, rows in crossings[:MOST_PROBLEMS]
    ]
    if more := crossings[MOST_PROBLEMS:]:
        rows = tuple(row for _, concerned in more for row in concerned)
        issues.append(
            Issue(
                "split",
                f"{len(more)} more groups have the same waveform and are in several splits",
                REMEDY,
                rows,
            )
        )
    return cohort, issues


def _read_all(cohort: Cohort, there: NDArray[np.bool_], params: Params, progress: bool) -> pd.DataFrame:
    starts = range(0, len(cohort), _CHUNK)
    shared = (params.signal, params.quality, params.store.lsb)
    tasks = ((start, _present(cohort, start, there), *shared) for start in starts)
    frames = []
    store = params.store
    with (
        progress_bar("check", len(cohort), enabled=progress) as advance,
        closing(
            run_unordered(read_chunk, tasks, len(starts), store.workers, store.backend, store.scheduler)
        ) as results,
    ):
        for start, frame in results:
            frames.append(frame)
            advance(min(_CHUNK, len(cohort) - start))
    found = [frame for frame in frames if len(frame)]
    if not found:
        return _frame([])
    return pd.concat(found, ignore_index=True).sort_values("place", ignore_index=True)


def _present(cohort: Cohort, start: int, there: NDArray[np.bool_]) -> list[RecordingRequest | None]:
    items = recording_requests(cohort, start, min(start + _CHUNK, len(cohort)))
    return [item if is_there else None for item, is_there in zip(items, there[start : start + _CHUNK], strict=True)]


def read_chunk(
    first: int, items: Sequence[RecordingRequest | None], spec: SignalSpec, quality: QualityParams, lsb: float
) -> tuple[int, pd.DataFrame]:
    """Preprocess recordings in a worker process and return the results without signals.

    Args:
        first: row of the first item in the cohort's table.
        items: recordings to preprocess; ``None`` for a missing file.
        spec, quality, lsb: see ``prepare_request``.

    Returns:
        The argument ``first``, and a table with one row per recording that was read, see ``Checked.recordings``.
    """
    rows = []
    for place, item in enumerate(items, first):
        if item is None:
            continue
        row: dict[str, Any] = {"place": place}
        try:
            row |= _examine(item, spec, quality, lsb, partial(_note, row))
        except Rejected as refusal:
            row |= {"stage": refusal.stage, "reason": refusal.reason, "detail": refusal.detail}
        rows.append(row)
    return first, _frame(rows)


def _examine(
    item: RecordingRequest, spec: SignalSpec, quality: QualityParams, lsb: float, on_read: Callable[[Recording], None]
) -> dict[str, Any]:
    """Return the results of the first stored window, and the number of stored windows.

    Raises:
        Rejected: no window is stored.
    """
    rows = run_steps(window_steps(item, spec, quality, lsb, on_read))["windows"]
    stored = [row for row in rows if "stage" not in row]
    if not stored:
        raise Rejected(rows[0]["stage"], rows[0]["reason"], rows[0]["detail"])
    return stored[0] | {"windows": len(stored)}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    # set the types, because pandas infers other types for columns without values
    return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)


def _note(row: dict[str, Any], recording: Recording) -> None:
    meta = recording.meta
    row |= {
        "format": meta.get("format"),
        "rate": recording.sampling_rate,
        "duration": recording.duration,
        "leads_in_file": sum(named is not None for named in identify_leads(recording.leads)),
        "overridden": ";".join(meta.get("overridden", ())),
        "file_age": meta.get("age"),
        "file_sex": meta.get("sex"),
    }

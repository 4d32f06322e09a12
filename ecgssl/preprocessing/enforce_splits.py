"""Enforcement of disjoint splits: recordings shared between splits cause an error or a warning, or are left out.

If ecgssl made the splits at random (``Cohort.random_splits``), a few copies of a recording in other splits cause no error.
The copies and all recordings of their patients move to one split.

Shards do not depend on splits. They are reused if only labels, patients, splits or ``sets.NAME.overlap`` change.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ecgssl.csv_cells import row_writer
from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import InputError, Problem
from ecgssl.files import write_atomic
from ecgssl.leakage.overlap import ORDER, REMEDY, Within, limit_problems, within
from ecgssl.preprocessing.merge_shards import usable
from ecgssl.preprocessing.shards import ShardResult, Work, prune_shard
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, same_recording

Policy = Literal["error", "warn", "drop_train"]

MOVED_SHARE, MOVED_FEW = 0.01, 10
"""Largest number of recordings that may move to another split, as a share of the cohort and as a number.

The larger limit applies. If more recordings would have to move, none moves and the policy for shared recordings applies.
"""


@dataclass(frozen=True)
class SplitOverlap:
    """Recordings shared between the splits of a cohort.

    Args:
        cohort: the cohort, with the splits that the store uses.
        found: recordings shared between splits; its rows are positions in the list of usable recordings.
        left_out: reason for leaving out a recording, by row in the cohort's table.
        moved: number of recordings that were moved to the split of a copy.
    """

    cohort: Cohort
    found: Within
    left_out: dict[int, str]
    moved: int

    @property
    def warnings(self) -> list[str]:
        """Warnings about moved recordings, and about shared recordings that stay in the store."""
        found = Within((), self.found.two_patients) if self.left_out else self.found
        return [*([moved_text(self.moved)] if self.moved else []), *found.warnings()]

    def counts(self) -> dict[str, int]:
        """Return the numbers of recordings left out and moved, and those of ``Within.counts``."""
        return {"left_out": len(self.left_out), "moved": self.moved, **self.found.counts()}

    def prune(self, work: Work, made: Sequence[ShardResult]) -> dict[int, tuple[int, str]]:
        """Rewrite the shards without the recordings in ``left_out``.

        Returns:
            Number of remaining recordings and new SHA-256 (hex) of each changed shard, by shard number.
        """
        pruned = {}
        gone = np.array(list(self.left_out), dtype=np.int64)
        for shard in made if self.left_out else ():
            keep = ~np.isin(usable(work.part(shard.number))["place"].to_numpy(), gone)
            if not keep.all():
                pruned[shard.number] = int(keep.sum()), prune_shard(work, shard.number, keep)
        return pruned


def enforce_splits(cohort: Cohort, parts: Sequence[Path], policy: Policy, listing: Path) -> SplitOverlap:
    """Find recordings that are shared between the splits of a cohort, and apply the policy for them.

    Args:
        cohort: cohort of the recordings.
        parts: part files of the cohort's shards, in order.
        policy: action for shared recordings (``sets.NAME.overlap``).
        listing: CSV file for all shared recordings, written before the error is raised.

    Returns:
        The cohort with its final splits, the shared recordings, and those to leave out of the store.

    Raises:
        InputError: the policy is ``error`` and recordings of different splits share a patient or a waveform.
    """
    places, codes = _codes(parts)
    waveforms = same_recording(codes)
    cohort, moved = reunite_few_copies(cohort, places, waveforms)
    found = find_crossings(cohort, places, waveforms)
    if policy == "error" and found.crossings:
        write_atomic(listing, _listed(cohort, places, found))
        raise InputError(limit_problems(_problems(cohort, places, found), f"; all are in {listing}"))
    left_out = found.left_out() if policy == "drop_train" else {}
    return SplitOverlap(cohort, found, {int(places[row]): why for row, why in left_out.items()}, moved)


def reunite_few_copies(cohort: Cohort, places: NDArray[np.int64], waveforms: NDArray[np.int64]) -> tuple[Cohort, int]:
    """Return the result of ``reunite_copies``, or the unchanged cohort and 0.

    The cohort is unchanged if ecgssl did not make its splits, or if more recordings would move than ``MOVED_FEW`` and
    ``MOVED_SHARE`` allow.

    Args:
        cohort, places, waveforms: see ``reunite_copies``.
    """
    if not cohort.random_splits:
        return cohort, 0
    reunited, moved = reunite_copies(cohort, places, waveforms)
    return (reunited, moved) if moved <= max(MOVED_FEW, MOVED_SHARE * len(cohort)) else (cohort, 0)


def reunite_copies(cohort: Cohort, places: NDArray[np.int64], waveforms: NDArray[np.int64]) -> tuple[Cohort, int]:
    """Move copies of a recording, and all recordings of their patients, to one split.

    Recordings move to the split of their group that comes first in ``ORDER``, so train never loses a recording.

    Args:
        cohort: cohort whose splits were made at random.
        places: (n,) rows of the usable recordings in the cohort's table.
        waveforms: (n,) numbers, equal for copies of one waveform.

    Returns:
        The cohort with the new splits (and folds), and the number of recordings that moved.
    """
    table = cohort.table
    patients = pd.factorize(table["patient_id"])[0]
    count = int(patients.max(initial=-1)) + 1
    # a graph of patients and waveforms; a recording connects its patient with its waveform
    size = count + int(waveforms.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(places)), (patients[places], count + waveforms)), shape=(size, size))
    group = connected_components(edges, directed=False)[1][patients]
    ranks = table["split"].map({split: rank for rank, split in enumerate(ORDER)})
    ranked = pd.DataFrame({"group": group, "rank": ranks}).dropna()
    first = ranked.sort_values("rank", kind="stable").groupby("group").head(1)
    source = pd.Series(first.index, index=first["group"]).reindex(group).to_numpy()
    moves = np.flatnonzero(ranks.notna().to_numpy() & (group >= 0))
    moves = moves[ranks.to_numpy()[moves] != ranks.to_numpy()[source[moves].astype(np.int64)]]
    table = table.copy()
    for column in ("split", "fold"):
        if column in table:
            values = table[column].to_numpy(copy=True)
            values[moves] = values[source[moves].astype(np.int64)]
            table[column] = values
    return replace(cohort, table=table), len(moves)


def moved_text(count: int) -> str:
    """Return the sentence about recordings that were moved to another split."""
    return f"{count} recordings were moved to the split of a copy of the same recording or of its patient"


def find_crossings(cohort: Cohort, places: NDArray[np.int64], waveforms: NDArray[np.int64]) -> Within:
    """Return the recordings shared between splits, for the rows ``places`` of a cohort's table."""
    table = cohort.table
    return within(table["split"].to_numpy()[places], table["patient_id"].to_numpy()[places], waveforms)


def _codes(parts: Sequence[Path]) -> tuple[NDArray[np.int64], WaveformCodes]:
    """Return the table row and waveform code of every usable recording. Codes are read in packed form to save memory."""
    places, raw = [np.zeros(0, np.int64)], [np.zeros((0, CODE_BYTES), np.uint8)]
    for part in map(usable, parts):
        codes = bytes.fromhex("".join(part["waveform_hash"].to_pylist()))
        places.append(part["place"].to_numpy())
        raw.append(np.frombuffer(codes, dtype=np.uint8).reshape(part.num_rows, CODE_BYTES))
    return np.concatenate(places), WaveformCodes.unpack(np.concatenate(raw))


def _problems(cohort: Cohort, places: NDArray[np.int64], found: Within) -> list[Problem]:
    names = cohort.table["record_id"].to_numpy()

    def name(row: int) -> str:
        place = places[row]
        return f"{names[place]} (row {cohort.rows[place]})" if cohort.rows else str(names[place])

    where = cohort.source or cohort.name
    return [Problem(where, "split", crossing.what(name), REMEDY) for crossing in found.crossings]


def _listed(cohort: Cohort, places: NDArray[np.int64], found: Within) -> str:
    names = cohort.table["record_id"].to_numpy()
    text = io.StringIO()
    write = row_writer(text)
    write(("group", "share", "record_id", "split"))
    for number, crossing in enumerate(found.crossings, 1):
        for row, split in zip(crossing.rows, crossing.splits, strict=True):
            write((number, crossing.by, names[places[row]], split))
    return text.getvalue()

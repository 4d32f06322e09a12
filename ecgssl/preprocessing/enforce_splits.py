"""Enforcement of disjoint splits: recordings shared between splits raise an error, a warning, or are left out.

Shards do not depend on splits. They are reused if only labels, patients, splits or ``data.overlap`` change.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import InputError, Problem
from ecgssl.files import write_atomic
from ecgssl.leakage.overlap import REMEDY, Within, limit_problems, within
from ecgssl.preprocessing.merge_shards import usable
from ecgssl.preprocessing.shards import ShardResult, Work, prune_shard
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, same_recording

Policy = Literal["error", "warn", "drop_train"]


@dataclass(frozen=True)
class SplitOverlap:
    """Recordings shared between the splits of a cohort.

    Args:
        found: recordings shared between splits; rows are counted among the usable recordings.
        left_out: reason for leaving out a recording, by row in the cohort's table.
    """

    found: Within
    left_out: dict[int, str]

    @property
    def warnings(self) -> list[str]:
        """Return warnings about shared recordings that stay in the store."""
        return Within((), self.found.two_patients).warnings() if self.left_out else self.found.warnings()

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
        policy: action for shared recordings (``data.overlap``).
        listing: CSV file for all shared recordings, written before the error is raised.

    Returns:
        The shared recordings, and those to leave out of the store.

    Raises:
        InputError: the policy is ``error`` and recordings of different splits share a patient or a waveform.
    """
    places, codes = _codes(parts)
    found = find_crossings(cohort, places, same_recording(codes))
    if policy == "error" and found.crossings:
        write_atomic(listing, _listed(cohort, places, found))
        raise InputError(limit_problems(_problems(cohort, places, found), f"; all are in {listing}"))
    left_out = found.left_out() if policy == "drop_train" else {}
    return SplitOverlap(found, {int(places[row]): why for row, why in left_out.items()})


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
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("group", "share", "record_id", "split"))
    for number, crossing in enumerate(found.crossings, 1):
        for row, split in zip(crossing.rows, crossing.splits, strict=True):
            writer.writerow((number, crossing.by, names[places[row]], split))
    return text.getvalue()

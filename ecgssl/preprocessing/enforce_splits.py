"""The usable recordings of a cohort held apart by split: refused, counted or left out before its store is in place.

Shards know nothing of splits, so none is made again where only labels, patients, splits or the policy have changed.
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
from ecgssl.leakage.overlap import REMEDY, Within, told, within
from ecgssl.preprocessing.merge_shards import usable
from ecgssl.preprocessing.shards import Made, Work, prune_shard
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, same_recording

Policy = Literal["error", "warn", "drop_train"]


@dataclass(frozen=True)
class Apart:
    """What was found across the splits of a cohort, and what follows.

    Args:
        found: by row among the usable recordings.
        left_out: why a recording is left out, by its place in the cohort's table.
    """

    found: Within
    left_out: dict[int, str]

    @property
    def warnings(self) -> list[str]:
        """What a reader of later results should know: nothing of what is left out."""
        return Within((), self.found.two_patients).warnings() if self.left_out else self.found.warnings()

    def prune(self, work: Work, made: Sequence[Made]) -> dict[int, tuple[int, str]]:
        """Take what is left out from its shards.

        Returns:
            By number of each shard that had any: how many recordings stay, and the SHA-256 (hex) of what it is now.
        """
        pruned = {}
        gone = np.array(list(self.left_out), dtype=np.int64)
        for shard in made if self.left_out else ():
            keep = ~np.isin(usable(work.part(shard.number))["place"].to_numpy(), gone)
            if not keep.all():
                pruned[shard.number] = int(keep.sum()), prune_shard(work, shard.number, keep)
        return pruned


def hold_apart(cohort: Cohort, parts: Sequence[Path], policy: Policy, listing: Path) -> Apart:
    """Compare all usable recordings of a cohort across its splits.

    Args:
        cohort: whose recordings the parts tell of.
        parts: files in the order of their shards.
        policy: ``data.overlap``.
        listing: CSV that is written where the cohort is refused, with every recording concerned.

    Raises:
        InputError: policy ``error``, and recordings of different splits share a patient or a waveform.
    """
    places, codes = _codes(parts)
    found = crossings_of(cohort, places, same_recording(codes))
    if policy == "error" and found.crossings:
        write_atomic(listing, _listed(cohort, places, found))
        raise InputError(told(_problems(cohort, places, found), f"; all are in {listing}"))
    left_out = found.left_out() if policy == "drop_train" else {}
    return Apart(found, {int(places[row]): why for row, why in left_out.items()})


def crossings_of(cohort: Cohort, places: NDArray[np.int64], waveforms: NDArray[np.int64]) -> Within:
    """``within`` for the recordings at ``places`` of a cohort's table."""
    table = cohort.table
    return within(table["split"].to_numpy()[places], table["patient_id"].to_numpy()[places], waveforms)


def _codes(parts: Sequence[Path]) -> tuple[NDArray[np.int64], WaveformCodes]:
    """Place and code of every usable recording; of the codes only their bytes are ever held for all of them."""
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

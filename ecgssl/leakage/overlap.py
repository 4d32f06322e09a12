"""Leakage checks: recordings shared between splits, or between a test set and the pretraining data.

Two recordings are shared if they have the same patient or the same waveform (``ecgssl.signal.waveform_match``). Names,
formats, scales and sampling rates may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgssl.datasets.cohort import EXTERNAL, SPLITS
from ecgssl.errors import InputError, Problem
from ecgssl.leakage.identities import Identities
from ecgssl.signal.waveform_match import find_copies

By = Literal["patient", "waveform"]
BOTH: tuple[By, By] = ("patient", "waveform")

ORDER = (*SPLITS, EXTERNAL)
"""Splits from training to evaluation."""
REMEDY = (
    "Keep them in one split, or set data.overlap: drop_train removes the copies nearer to training, warn only counts"
)
MOST_PROBLEMS = 50
"""Largest number of problems of one kind in a message; the others are counted."""
_MEMBERS = 8
_SHARED = {"patient": "are of one patient", "waveform": "have one waveform"}


@dataclass(frozen=True)
class Crossing:
    """Recordings of different splits that share a patient or a waveform.

    Args:
        by: property that they share.
        rows: row numbers of the recordings.
        splits: split of each recording.
    """

    by: By
    rows: tuple[int, ...]
    splits: tuple[str, ...]

    @property
    def held_out(self) -> str:
        """Return the split that keeps the shared recordings: the last one in ``ORDER``."""
        return max(self.splits, key=ORDER.index)

    def what(self, name: Callable[[int], str]) -> str:
        """Return the text of the problem. The function ``name`` returns the name of a row."""
        pairs = list(zip(self.rows, self.splits, strict=True))
        by_split = ([(row, split) for row, split in pairs if split == each] for each in ORDER)
        # alternate between the splits, so that recordings of each split are shown
        turns = [pair for turn in zip_longest(*by_split) for pair in turn if pair is not None]
        shown = ", ".join(f"{name(row)} in {split}" for row, split in turns[:_MEMBERS])
        more = f" and {len(turns) - _MEMBERS} more" if len(turns) > _MEMBERS else ""
        return f"{shown}{more} {_SHARED[self.by]}"


@dataclass(frozen=True)
class Within:
    """Recordings shared between the splits of one cohort.

    Args:
        crossings: shared recordings, first by patient, then by waveform.
        two_patients: number of recordings with the same waveform as another patient's recording in the same split. One
            patient id may be wrong, or one person has two ids.
    """

    crossings: tuple[Crossing, ...]
    two_patients: int

    def of(self, by: By) -> list[Crossing]:
        """Return the crossings by patient or by waveform."""
        return [crossing for crossing in self.crossings if crossing.by == by]

    def left_out(self) -> dict[int, str]:
        """Return the reason for each row that ``drop_train`` leaves out, in ascending order.

        Shared recordings of the last split in ``ORDER`` are kept.
        """
        why: dict[int, str] = {}
        for crossing in self.crossings:
            shared = "of a patient" if crossing.by == "patient" else "has the waveform of a recording"
            for row, split in zip(crossing.rows, crossing.splits, strict=True):
                if split != crossing.held_out:
                    why.setdefault(row, f"{shared} of split {crossing.held_out}")
        return dict(sorted(why.items()))

    def counts(self) -> dict[str, int]:
        """Return the number of shared recordings by kind."""
        found = {f"by_{by}": sum(len(crossing.rows) for crossing in self.of(by)) for by in BOTH}
        return found | {"two_patients": self.two_patients}

    def warnings(self) -> list[str]:
        """Return one sentence for each kind of shared recording that occurs."""
        counts = self.counts()
        said = [
            f"{counts[f'by_{by}']} recordings have the {by} of a recording in another split, so results are too optimistic"
            for by in BOTH
            if counts[f"by_{by}"]
        ]
        if self.two_patients:
            said.append(f"{self.two_patients} recordings have the waveform of another patient's in their split")
        return said


def within(splits: ArrayLike, patients: ArrayLike, waveforms: NDArray[np.int64]) -> Within:
    """Return the recordings shared between splits.

    Args:
        splits: (n,) split names; recordings of splits that are not in ``ORDER`` are ignored.
        patients: (n,) ids or hashes.
        waveforms: (n,) numbers, equal for copies of one waveform (``ecgssl.signal.waveform_match.same_recording``).
    """
    place = {split: rank for rank, split in enumerate(ORDER)}
    ranks = np.array([place.get(split, -1) for split in np.asarray(splits, dtype=object)], dtype=np.int64)
    groups = {
        "patient": pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64),
        "waveform": waveforms,
    }
    crossings = [crossing for by in BOTH for crossing in _crossings(by, groups[by], ranks)]
    # number of different patients per waveform and split
    cells = pd.DataFrame({"cell": groups["waveform"] * (len(ORDER) + 1) + ranks, "patient": groups["patient"]})
    distinct = cells.groupby("cell")["patient"].transform("nunique")
    return Within(tuple(crossings), int((distinct > 1).sum()))


def _crossings(by: By, group: NDArray[np.int64], ranks: NDArray[np.int64]) -> Iterable[Crossing]:
    rows = np.flatnonzero(ranks >= 0)
    size = int(group.max(initial=-1)) + 1
    low, high = np.full(size, len(ORDER)), np.full(size, -1)
    np.minimum.at(low, group[rows], ranks[rows])
    np.maximum.at(high, group[rows], ranks[rows])
    rows = rows[low[group[rows]] < high[group[rows]]]
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1) if len(rows) else []
    found = [Crossing(by, tuple(part.tolist()), tuple(ORDER[rank] for rank in ranks[part])) for part in parts]
    return sorted(found, key=lambda crossing: crossing.rows)


def limit_problems(problems: Sequence[Problem], rest: str) -> list[Problem]:
    """Return the first ``MOST_PROBLEMS`` problems and one that counts the others, with the text ``rest`` appended."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return list(problems)
    last = problems[-1]
    return [*problems[:MOST_PROBLEMS], Problem(last.where, last.field, f"{more} more of this kind{rest}", last.remedy)]


@dataclass(frozen=True)
class Pairs:
    """Recordings of a set b that share a patient or a waveform with a recording of a set a.

    Args:
        rows: (m,) rows of b, ascending.
        others: (m,) matching rows of a: the first match by patient, the closest match by waveform.
        rows_a: number of recordings of a that match one of b.
        distances: (m,) distances of the waveforms; empty by patient.
    """

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    rows_a: int
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Between:
    """Recordings that two sets share.

    Args:
        counts: number of recordings of a and of b.
        waveform: pairs with the same waveform.
        patient: pairs with the same patient; ``None`` if the keys or the numbering of the patients differ.
    """

    counts: tuple[int, int]
    waveform: Pairs
    patient: Pairs | None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Return the (m,) rows of b that share a patient or a waveform, ascending."""
        found = [self.waveform.rows, *([self.patient.rows] if self.patient else [])]
        return np.unique(np.concatenate(found))

    def outcome(self) -> dict[str, Any]:
        """Return the counts as a JSON object."""
        by_patient = None if self.patient is None else len(self.patient)
        found = {"by_waveform": len(self.waveform), "by_patient": by_patient, "found": len(self.rows)}
        return {"pretrained_on": self.counts[0], "compared": self.counts[1]} | found


def between(a: Identities, b: Identities) -> Between:
    """Return the recordings that two sets share.

    Args:
        a: identities of one set, for example the pretraining data.
        b: identities of the other set, for example validation and test recordings.
    """
    # the search sorts its first set and loops over the second, so the larger set is passed first
    turned = len(a) < len(b)
    in_a, in_b = find_copies(a.codes, b.codes) if not turned else reversed(find_copies(b.codes, a.codes))
    waveform = Pairs(in_b.rows, in_b.closest, len(in_a), in_b.distance)
    # without a numbering, the hashes may have different keys and cannot be compared
    comparable = bool(a.numbering) and a.numbering == b.numbering
    return Between((len(a), len(b)), waveform, _same_patients(a.patients, b.patients) if comparable else None)


def _same_patients(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Pairs:
    known, first = np.unique(a, return_index=True)
    place = np.minimum(np.searchsorted(known, b), max(len(known) - 1, 0))
    rows = np.flatnonzero(known[place] == b) if len(known) else np.zeros(0, np.int64)
    others = first[place[rows]] if len(rows) else np.zeros(0, np.int64)
    return Pairs(rows.astype(np.int64), others.astype(np.int64), int(np.isin(a, b).sum()), np.zeros(0))


def in_words(outcome: Mapping[str, Any]) -> str:
    """Return the result of ``Between.outcome`` as a sentence, for model cards and terminals."""
    if "pretrained_on" in outcome:
        by = "waveform and patient"
        if outcome["by_patient"] is None:
            by = "waveform (not by patient: the keys or the numbering of the patients differ)"
        said = f"{outcome['found']:,} of {outcome['compared']:,} held-out recordings are among the "
        said += f"{outcome['pretrained_on']:,} of pretraining, compared by {by}"
    else:
        said = f"not checked, because {outcome['not_checked']}"
    across = outcome.get("across_splits", 0)
    return said + (f"; {across:,} recordings share a patient or waveform across splits" if across else "")


def compare_folders(a: Path, b: Path, splits: Sequence[str] = ()) -> dict[str, Any]:
    """Compare two stores, two encoders, or one of each, and return the shared recordings.

    Args:
        a, b: folder of a store, or of an encoder saved with the codes of its recordings.
        splits: splits of a store to compare; empty for all.

    Returns:
        ``recordings``: numbers of recordings of a and b; ``found``: number of recordings of b that share a patient or a
        waveform; ``waveform`` and ``patient``: numbers ``a`` and ``b``, and ``pairs`` of names, one per recording of b.
        ``patient`` is ``None`` if the keys or the numbering differ.

    Raises:
        InputError: a folder is neither, or has no waveform codes of this version; all such folders are listed.
    """
    problems: list[Problem] = []
    sets = []
    for path in (a, b):
        try:
            sets.append(Identities.of_folder(path, splits))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    found = between(*sets)

    def describe(pairs: Pairs) -> dict[str, Any]:
        both = zip(pairs.others.tolist(), pairs.rows.tolist(), strict=True)
        names = [[sets[0].label(other), sets[1].label(row)] for other, row in both]
        return {"a": pairs.rows_a, "b": len(pairs), "pairs": names}

    return {
        "recordings": list(found.counts),
        "found": len(found.rows),
        "waveform": describe(found.waveform),
        "patient": None if found.patient is None else describe(found.patient),
    }
